/** What is wrong with a zip archive by its directory alone. */
import { bytesAt } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';
import type { Content } from './content.ts';
import type { Findings } from './finding.ts';
import { nameProblem } from './member-name.ts';
import type { Scan } from './scan.ts';
import { localSignature } from './zip-directory.ts';
import type { ZipEnd, ZipEntry } from './zip-directory.ts';
import type { LocalMember } from './zip-local.ts';

const [stored, deflated] = [0, 8];
const isEncrypted = 1;

/** Unix file types, in the mode's upper bits. */
const [typeMask, link, regular, folder] = [0o170000, 0o120000, 0o100000, 0o040000];

/** Judges a member by its entry. @returns whether its content can be read. */
export function checkEntry(findings: Findings, path: string, entry: ZipEntry): boolean {
  const at = entry.recordAt;
  for (const name of [entry.name, entry.rawName, entry.otherName ?? '']) {
    const problem = nameProblem(name);
    if (problem !== undefined) findings.add(path, at, problem.rule, problem.message);
  }
  if (entry.otherName !== undefined && entry.otherName !== entry.rawName) {
    const message = 'It has two names: readers differ about which they take.';
    findings.add(path, at, 'archive.duplicate-name', message);
  }
  const type = entry.mode & typeMask;
  if (type === link) {
    const message = 'This member is a link: what is unpacked through it may land anywhere.';
    findings.add(path, at, 'archive.link', message);
  } else if (type !== 0 && type !== regular && type !== folder) {
    findings.add(path, at, 'archive.device', 'This member is a device or a pipe, not a file.');
  }
  if ((entry.flags & isEncrypted) !== 0) {
    findings.add(path, at, 'zip.encrypted', 'This member is encrypted, so that it cannot be looked into.');
    return false;
  }
  if (entry.method !== stored && entry.method !== deflated) {
    const message = `This member is compressed by method ${entry.method}, which has no reader here.`;
    findings.add(path, at, 'zip.method', message);
    return false;
  }
  return true;
}

/**
 * The folder of a torch archive, which holds `data.pkl` and either the format's version or storages; undefined for
 * any other archive.
 */
export function torchRoot(entries: readonly ZipEntry[]): string | undefined {
  const names = new Set(entries.map((entry) => entry.name));
  for (const name of names) {
    const root = /^([^/]+)\/data\.pkl$/.exec(name)?.[1];
    if (root === undefined) continue;
    if (names.has(`${root}/version`) || names.has(`${root}/data/0`)) return root;
  }
  return undefined;
}

/** Bytes between members that are searched for a hidden one. */
const searchedBytes = 1024 * 1024;

function unlisted(scan: Scan, content: Content, source: ByteSource, start: number, end: number): void {
  const { findings } = scan;
  const bytes = bytesAt(source, start, Math.min(end - start, searchedBytes));
  const signature = Buffer.alloc(4);
  signature.writeUInt32LE(localSignature);
  const hidden = bytes.indexOf(signature);
  if (hidden !== -1) {
    const message = 'The archive holds a member that its directory does not list.';
    findings.add(content.path, start + hidden, 'zip.hidden-member', message);
    return;
  }
  const message = `${end - start} bytes of the archive belong to no member.`;
  findings.add(content.path, start, 'zip.unlisted-bytes', message);
}

/** Members and directory must cover the file once and wholly: nothing twice, nothing beside, before or behind. */
export function checkCoverage(
  scan: Scan,
  content: Content,
  source: ByteSource,
  end: ZipEnd,
  members: readonly LocalMember[],
): void {
  const { findings } = scan;
  const { path } = content;
  const directory = { start: end.directoryAt, end: end.end };
  let covered = end.prefix;
  for (const part of [...members.toSorted((a, b) => a.start - b.start), directory]) {
    if (part.start < covered) {
      const message = 'Two members share the same bytes: so small archives become huge.';
      findings.add(path, part.start, 'zip.overlap', message);
    } else if (part.start > covered) unlisted(scan, content, source, covered, part.start);
    covered = Math.max(covered, part.end);
  }
  if (end.prefix > 0) {
    const message = 'Before the archive lie other bytes: the file is two things at once.';
    findings.add(path, 0, 'zip.prefix', message);
  }
  if (end.end < source.size) {
    findings.add(path, end.end, 'zip.suffix', 'Behind the archive lie other bytes.');
  }
}
