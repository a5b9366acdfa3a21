import type { Platform } from '#src/platform/platform.ts';
import { signLink } from '#src/version/checkout.ts';
import { downloadPath } from './paths.ts';

/** A link to a file of a version, or to all of them (null), for whoever has it. */
export function linkTo(platform: Platform, version: { readonly id: string }, path: string | null): string {
  const { PUBLIC_URL = '', LINK_SECONDS } = platform.config;
  const expires = Math.floor(Date.now() / 1000) + LINK_SECONDS;
  const signature = signLink(platform, { versionId: version.id, path, expires });
  return `${PUBLIC_URL}${downloadPath(version.id, path)}?expires=${expires}&signature=${signature}`;
}
