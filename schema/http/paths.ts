/** Where on this server bytes come in and go out. */

export const UPLOADS = '/uploads';

/** Of an upload, for the tus protocol. */
export const uploadPath = (id: string): string => `${UPLOADS}/${id}`;

export const VERSIONS = '/versions';

const segments = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** Of a version's file, or of all its files as an archive. */
export function downloadPath(version: string, path: string | null): string {
  return `${VERSIONS}/${version}/${path === null ? 'archive.tar' : `files/${segments(path)}`}`;
}

/** What a path below `/versions` asks for; undefined for what is none of ours. */
export function parseDownloadPath(path: string): { version: string; path: string | null } | undefined {
  // The shortest version: a file may be called `archive.tar`, or lie in a folder `files`, but no reference ends in those.
  const [, version, file] =
    /^\/versions\/([^/]+(?:\/[^/]+)??)\/(?:archive\.tar|files\/(.+))$/.exec(path) ?? [];
  if (version === undefined) return undefined;
  try {
    return {
      version: version.split('/').map(decodeURIComponent).join('/'),
      path: file === undefined ? null : file.split('/').map(decodeURIComponent).join('/'),
    };
  } catch {
    return undefined;
  }
}
