/** Tar archives: every header is judged, every member looked into, front to back. */
import { bufferSource } from './byte-source.ts';
import type { ByteStream } from './byte-stream.ts';
import { contentOf, partOf } from './content.ts';
import type { Content } from './content.ts';
import { printable } from './finding.ts';
import { nameProblem } from './member-name.ts';
import type { Place, Scan } from './scan.ts';
import { blockBytes, readTarHeader } from './tar-header.ts';
import type { TarHeader } from './tar-header.ts';

const padded = (size: number): number => Math.ceil(size / blockBytes) * blockBytes;

/** Headers that describe the next member: pax records, and GNU's long names. */
const maxDescription = 1024 * 1024;

interface Override {
  name?: string;
  linkName?: string;
  size?: number;
}

interface Description {
  readonly override: Override;
  /** Whether the next member has holes that are left out, so that its bytes are not those of the file that it makes. */
  readonly isSparse: boolean;
}

/** Records `length key=value\n`, each of so many bytes. null: they are damaged, and readers differ about them. */
function paxRecords(data: Buffer): Description | null {
  const found: Override = {};
  let isSparse = false;
  for (let at = 0; at < data.length;) {
    const [, digits] = /^(\d{1,8}) /.exec(data.toString('latin1', at, at + 9)) ?? [];
    const end = at + Number(digits);
    // A record that ends before its own text does would be read again and again.
    if (digits === undefined || end > data.length || end <= at + digits.length + 1) return null;
    if (data[end - 1] !== 0x0a) return null;
    const record = data.toString('utf8', at + digits.length + 1, end - 1);
    const equals = record.indexOf('=');
    const [key, value] = [record.slice(0, equals), record.slice(equals + 1)];
    if (key === 'path') found.name = value;
    if (key === 'linkpath') found.linkName = value;
    if (key === 'size') found.size = /^\d+$/.test(value) ? Number(value) : NaN;
    isSparse ||= key.startsWith('GNU.sparse');
    at = end;
  }
  return { override: found, isSparse };
}

/** Reads the header's content if it describes the next member. undefined: it does not; null: it is damaged. */
async function description(stream: ByteStream, header: TarHeader): Promise<Description | null | undefined> {
  if (!['x', 'g', 'L', 'K'].includes(header.type) || header.size > maxDescription) return undefined;
  const data = (await stream.take(padded(header.size))).subarray(0, header.size);
  if (header.type === 'x') return paxRecords(data);
  if (header.type === 'g') {
    // It goes for all members that follow; what only one can have is read by each reader in its own way.
    const all = paxRecords(data);
    return all === null || all.isSparse || Object.keys(all.override).length > 0 ? null : all;
  }
  const name = data.toString('utf8').replace(/\0.*$/s, '');
  return { override: header.type === 'L' ? { name } : { linkName: name }, isSparse: false };
}

function checkName(scan: Scan, path: string, offset: number, name: string): void {
  const problem = nameProblem(name);
  if (problem !== undefined) scan.findings.add(path, offset, problem.rule, problem.message);
}

/** Judges a member by its type. @returns whether it has content to look into. */
function checkType(scan: Scan, path: string, offset: number, header: TarHeader): boolean {
  const { type, linkName } = header;
  if (type === '0' || type === '7') return true;
  if (type === '1' || type === '2') {
    const message = `This member is a link to ${linkName}: what is unpacked through it may land anywhere.`;
    scan.findings.add(path, offset, 'archive.link', message);
  } else if (type === '3' || type === '4' || type === '6') {
    const message = 'This member is a device or a pipe, not a file.';
    scan.findings.add(path, offset, 'archive.device', message);
  } else if (type !== '5') {
    const message = `This member is of the type ${JSON.stringify(type)}, which has no reader here.`;
    scan.findings.add(path, offset, 'tar.member-type', message);
  }
  return false;
}

/** A member's content; `stream` stands at its start and may be read from. */
async function memberContent(scan: Scan, content: Content, stream: ByteStream, path: string, size: number) {
  const start = stream.position;
  // Small ones of an archive that is unpacked on the way are held: to unpack it anew for each would take for ever.
  if (content.source === undefined && size <= scan.limits.heldBytes) {
    return contentOf(bufferSource(await stream.take(size)), path);
  }
  await stream.skip(size);
  return partOf(content, path, start, size);
}

/** Behind the last member lie zeros. */
async function checkEnd(scan: Scan, content: Content, stream: ByteStream): Promise<void> {
  while (!(await stream.isAtEnd())) {
    const rest = stream.window.subarray(stream.at, stream.end);
    if (rest.some((byte) => byte !== 0)) {
      const message = 'Behind the archive lie bytes that belong to no member.';
      scan.findings.add(content.path, stream.position, 'tar.suffix', message);
      return;
    }
    stream.at = stream.end;
  }
}

async function inspectMember(
  scan: Scan,
  content: Content,
  stream: ByteStream,
  header: TarHeader,
  place: Place,
): Promise<void> {
  const offset = stream.position - blockBytes;
  const path = `${content.path}!${printable(header.name)}`;
  checkName(scan, path, offset, header.name);
  const hasContent = checkType(scan, path, offset, header);
  if (!hasContent && header.size > 0) {
    const message =
      'This member has content though its type has none: readers differ about where the next one is.';
    scan.findings.add(path, offset, 'tar.member-type', message);
  }
  const start = stream.position;
  if (hasContent) {
    const member = await memberContent(scan, content, stream, path, header.size);
    await scan.inspect(member, { depth: place.depth + 1, torchPickle: false });
  }
  await stream.skip(start + padded(header.size) - stream.position);
}

/** @throws EndOfBytes where the archive is cut short */
export async function inspectTar(scan: Scan, content: Content, place: Place): Promise<void> {
  const stream = content.open();
  const { findings, limits } = scan;
  let override: Override = {};
  for (let members = 0; !(await stream.isAtEnd()); members++) {
    const offset = stream.position;
    const block = await stream.take(blockBytes);
    if (block.every((byte) => byte === 0)) return checkEnd(scan, content, stream);
    if (members >= limits.members) {
      const message = `The archive has more than ${limits.members} members.`;
      return findings.add(content.path, offset, 'archive.members', message);
    }
    const header = readTarHeader(block);
    if (header === undefined) {
      const message = `The header at byte ${offset} does not have the sum that it says.`;
      return findings.add(content.path, offset, 'tar.checksum', message);
    }
    const described = await description(stream, header);
    if (described !== undefined) {
      // Of two descriptions of the same, some readers take the first and some the last.
      const isTold = Object.keys(described?.override ?? {}).some((key) => key in override);
      if (described === null || isTold) {
        return findings.add(content.path, offset, 'tar.broken', 'The description of a member is damaged.');
      }
      if (described.isSparse) {
        const message = 'The next member is a file with holes, which has no reader here.';
        findings.add(content.path, offset, 'tar.member-type', message);
      }
      override = { ...override, ...described.override };
      continue;
    }
    const size = override.size ?? header.size;
    if (!Number.isSafeInteger(size) || size < 0) {
      return findings.add(content.path, offset, 'tar.broken', 'The size of a member is no number.');
    }
    await inspectMember(scan, content, stream, { ...header, ...override, size }, place);
    override = {};
  }
  findings.add(content.path, stream.position, 'tar.broken', 'The archive ends without its end mark.');
}
