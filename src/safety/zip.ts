/** Zip archives, npz and torch files among them: the directory against the members, then each member. */
import { bufferSource, checksumOf, sliceOf } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';
import { inflateRaw } from './compression/inflate.ts';
import { unpack } from './compression/unpack.ts';
import { contentOf, openAt } from './content.ts';
import type { Content } from './content.ts';
import { printable } from './finding.ts';
import type { Format, Place, Scan } from './scan.ts';
import { BrokenZip, findEnd, readDirectory } from './zip-directory.ts';
import type { ZipEnd, ZipEntry } from './zip-directory.ts';
import { locate } from './zip-local.ts';
import type { LocalMember } from './zip-local.ts';
import { checkCoverage, checkEntry, torchRoot } from './zip-rules.ts';

const stored = 0;

/** The reader of one archive. */
class ZipScan {
  readonly #scan: Scan;
  readonly #content: Content;
  readonly #source: ByteSource;
  readonly #end: ZipEnd;
  readonly #place: Place;
  #held: Buffer = Buffer.alloc(0);

  constructor(scan: Scan, content: Content, source: ByteSource, end: ZipEnd, place: Place) {
    this.#scan = scan;
    this.#content = content;
    this.#source = source;
    this.#end = end;
    this.#place = place;
  }

  async inspect(): Promise<Format> {
    const { limits, findings } = this.#scan;
    const { path } = this.#content;
    const { entries: count, directoryBytes, isMultiDisk, at } = this.#end;
    if (isMultiDisk) findings.add(path, at, 'zip.multi-disk', 'Parts of the archive are in other files.');
    if (count > limits.members || directoryBytes > limits.directoryBytes) {
      findings.add(path, at, 'archive.members', `The archive has more than ${limits.members} members.`);
      return 'OPAQUE';
    }
    const entries = readDirectory(this.#source, this.#end);
    const root = torchRoot(entries);
    if (root !== undefined && entries.some((entry) => entry.name.startsWith(`${root}/code/`))) {
      findings.add(path, null, 'torch.script', 'The archive holds TorchScript: code that torch runs.');
    }
    const members: LocalMember[] = [];
    for (const entry of entries) {
      const member = await this.#entry(entry, root);
      if (member !== undefined) members.push(member);
    }
    // A member that is not where it should be leaves a gap that says no more than its own finding.
    if (members.length === entries.length) {
      checkCoverage(this.#scan, this.#content, this.#source, this.#end, members);
    }
    this.#duplicates(entries);
    return root === undefined ? 'OPAQUE' : 'TORCH';
  }

  /** Judges a member and looks into it. @returns where it lies; undefined where that is not told. */
  async #entry(entry: ZipEntry, root: string | undefined): Promise<LocalMember | undefined> {
    const { findings } = this.#scan;
    const path = `${this.#content.path}!${printable(entry.name)}`;
    try {
      const isReadable = checkEntry(findings, path, entry);
      const member = locate(this.#source, entry, this.#end.prefix);
      const isFolder = entry.name.endsWith('/') && entry.size === 0 && entry.packedSize === 0;
      if (isReadable && !isFolder) await this.#member(entry, member, path, root);
      return member;
    } catch (error) {
      if (!(error instanceof BrokenZip)) throw error;
      findings.add(path, entry.recordAt, 'zip.header-mismatch', error.message);
      return undefined;
    }
  }

  /**
   * A member's bytes as they lie. Small ones are read at once, not piece by piece for each look at them, and all into
   * the same memory: nothing of a member is kept when the next one's turn comes.
   */
  #packed({ packedSize }: ZipEntry, { dataAt }: LocalMember, isStorage: boolean): ByteSource {
    const { checksummedBytes } = this.#scan.limits;
    const slice = sliceOf(this.#source, dataAt, packedSize);
    if (isStorage || packedSize > checksummedBytes) return slice;
    if (this.#held.length < packedSize)
      this.#held = Buffer.allocUnsafeSlow(Math.min(checksummedBytes, 2 * packedSize));
    return bufferSource(this.#held.subarray(0, slice.read(this.#held.subarray(0, packedSize), 0)));
  }

  async #member(entry: ZipEntry, member: LocalMember, path: string, root: string | undefined): Promise<void> {
    const { limits, findings, expansion } = this.#scan;
    const isStorage = root !== undefined && entry.name.startsWith(`${root}/data/`);
    const packed = contentOf(this.#packed(entry, member, isStorage), path);
    const place: Place = {
      depth: this.#place.depth + 1,
      torchPickle: root !== undefined && entry.name === `${root}/data.pkl`,
    };
    if (entry.method === stored) {
      if (entry.size !== entry.packedSize) {
        findings.add(path, entry.recordAt, 'zip.size', 'It has another size than it says.');
      }
      // Larger ones and torch's tensors are not read through: they are gigabytes of numbers. A wrong checksum makes
      // their loader refuse them; what counts is that they do not begin as anything that a loader would run, and that
      // is looked at in every member, as any loader would start there.
      if (!isStorage && entry.size <= limits.checksummedBytes) this.#checksum(entry, path, packed);
      await this.#scan.inspect(packed, place);
      return;
    }
    expansion.add(entry.size);
    const { content, error } = await unpack({
      reopen: (skipped) => openAt(packed, skipped),
      codec: inflateRaw,
      expansion,
      // What it says to unpack to has been, and it cannot unpack to more.
      isCounted: true,
      limits,
      path,
      isStream: false,
      atMost: entry.size,
    });
    if (error !== undefined) {
      const message = error.message || 'Its compressed bytes end before they should.';
      findings.add(path, member.dataAt, 'compression.broken', message);
    } else if (content.source !== undefined) {
      if (content.size !== entry.size) {
        findings.add(path, entry.recordAt, 'zip.size', 'It unpacks to another size than it says.');
      }
      this.#checksum(entry, path, content);
    }
    await this.#scan.inspect(content, place);
  }

  #checksum(entry: ZipEntry, path: string, { source }: Content): void {
    if (source === undefined || checksumOf(source) === entry.checksum) return;
    this.#scan.findings.add(path, entry.recordAt, 'zip.checksum', 'Its checksum is another than it says.');
  }

  #duplicates(entries: readonly ZipEntry[]): void {
    const seen = new Set<string>();
    for (const { rawName, name, recordAt } of entries) {
      if (seen.has(rawName)) {
        const path = `${this.#content.path}!${printable(name)}`;
        const message = 'Two members have this name: readers differ about which they take.';
        this.#scan.findings.add(path, recordAt, 'archive.duplicate-name', message);
      }
      seen.add(rawName);
    }
  }
}

/**
 * Looks into a zip archive.
 * @param tailBytes at the file's end that are searched for the record of the archive's end.
 * @returns undefined where there is no such record
 */
export async function inspectZip(
  scan: Scan,
  content: Content,
  place: Place,
  tailBytes?: number,
): Promise<Format | undefined> {
  const { source, path } = content;
  if (source === undefined) {
    const message = `An archive within another that unpacks to more than ${scan.limits.heldBytes} bytes.`;
    scan.findings.add(path, null, 'archive.too-large', message);
    return 'OPAQUE';
  }
  try {
    const end = findEnd(source, tailBytes);
    if (end === undefined) return undefined;
    return await new ZipScan(scan, content, source, end, place).inspect();
  } catch (error) {
    if (!(error instanceof BrokenZip)) throw error;
    scan.findings.add(path, null, 'zip.broken', error.message);
    return 'OPAQUE';
  }
}
