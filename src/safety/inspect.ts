/**
 * Looks at a file from a stranger without opening it as what it is: nothing of it is executed, no object of it is
 * made. The kind of file is told by its bytes; archives are looked into, member by member; memory does not grow with
 * the file. It may take long for a hostile file: run it in a process of its own, with a time limit.
 */
import type { ByteSource } from './byte-source.ts';
import { bytesAt } from './byte-source.ts';
import { EndOfBytes } from './byte-stream.ts';
import { inspectCompressed } from './compressed.ts';
import {
  Bomb,
  BrokenCompression,
  DictionaryTooLarge,
  TooLarge,
  Unsupported,
} from './compression/compression.errors.ts';
import { Expansion } from './compression/expansion.ts';
import { contentOf, partOf } from './content.ts';
import type { Content } from './content.ts';
import { Findings } from './finding.ts';
import type { Finding, Rule, Verdict } from './finding.ts';
import { inspectGguf } from './gguf.ts';
import { claimedBy, headBytes, identify, sealedContainer } from './identify.ts';
import type { Kind } from './identify.ts';
import { defaultLimits } from './limits.ts';
import type { Limits } from './limits.ts';
import { inspectNpy } from './npy.ts';
import { inspectOnnxFile } from './onnx.ts';
import type { PickleContents } from './pickle/contents.ts';
import { opcodes } from './pickle/opcodes.ts';
import { readPickles } from './pickle/pickle.ts';
import { inspectSafetensors } from './safetensors.ts';
import type { Format, Place, Scan } from './scan.ts';
import { inspectTar } from './tar.ts';
import { inspectZip } from './zip.ts';

export interface Inspection {
  /** What the file as a whole is; OPAQUE for all that has no reader here, plain archives among it. */
  readonly format: Format;
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  /** What the first pickle with anything in it holds; null where there is none. */
  readonly contents: PickleContents | null;
  /** Whether there were more findings than are listed. The verdict counts all. */
  readonly truncatedFindings: boolean;
}

const opaque: Format = 'OPAQUE';

/** How much of a member's end is searched for the mark of a zip archive; all that a comment allows in the file itself. */
const memberTail = 1024;

/** What an error that a reader did not expect to be its own says about a content. */
const errorRules: readonly (readonly [new () => Error, Rule, string])[] = [
  [EndOfBytes, 'compression.broken', 'The file is cut short.'],
  [BrokenCompression, 'compression.broken', ''],
  [Bomb, 'archive.bomb', ''],
  [TooLarge, 'archive.too-large', ''],
  [DictionaryTooLarge, 'compression.dictionary', ''],
  [Unsupported, 'container.no-reader', ''],
];

function addError(findings: Findings, path: string, error: unknown): void {
  const known = errorRules.find(([type]) => error instanceof type);
  if (known === undefined || !(error instanceof Error)) throw error;
  findings.add(path, null, known[1], error.message || known[2]);
}

/** Reads a content as pickles. @returns undefined where it is none. */
async function readPickle(
  scan: Scan,
  content: Content,
  place: { readonly claimed: boolean; readonly torch: boolean },
): Promise<Format | undefined> {
  const { limits, findings, steps } = scan;
  const answer = await readPickles(content, { limits, steps, ...place });
  scan.steps += answer.steps;
  const { reading, error } = answer;
  for (const { offset, rule, message } of reading?.remarks ?? []) {
    findings.add(content.path, offset, rule, message);
  }
  const { contents } = reading ?? {};
  const holdsSomething = contents !== undefined && contents.classes.length + contents.arrays.length > 0;
  if (holdsSomething) scan.contents ??= contents;
  if (error !== undefined) throw error;
  return reading?.format;
}

/** An array of objects is a pickle behind a header. */
async function readNpy(scan: Scan, content: Content): Promise<void> {
  const pickleAt = await inspectNpy(scan, content);
  if (pickleAt === undefined) return;
  const pickle = partOf(content, `${content.path}!array`, pickleAt, Infinity);
  await readPickle(scan, pickle, { claimed: true, torch: false });
}

/** A zip archive by its first bytes, and none by its last. */
function endless(scan: Scan, content: Content): Format {
  scan.findings.add(content.path, null, 'zip.broken', 'The archive has no end: it is cut short or damaged.');
  return opaque;
}

/** Runs the reader of a kind. @returns undefined where the content is not of that kind after all. */
async function readAs(scan: Scan, content: Content, kind: Kind, place: Place): Promise<Format | undefined> {
  switch (kind) {
    case 'zip':
      return (await inspectZip(scan, content, place)) ?? endless(scan, content);
    case 'tar':
      await inspectTar(scan, content, place);
      return opaque;
    case 'npy':
      await readNpy(scan, content);
      return opaque;
    case 'safetensors':
      await inspectSafetensors(scan, content);
      return 'SAFETENSORS';
    case 'gguf':
      await inspectGguf(scan, content);
      return 'GGUF';
    case 'onnx':
      return (await inspectOnnxFile(scan, content, claimedBy(content.path) === 'onnx')) ? 'ONNX' : undefined;
    default:
      return inspectCompressed(scan, content, kind, place);
  }
}

async function headOf(content: Content): Promise<Buffer> {
  if (content.source !== undefined) return bytesAt(content.source, 0, headBytes);
  const stream = content.open();
  const head = Buffer.from(await stream.peek(headBytes));
  stream.close();
  return head;
}

/** All that a content is by its first bytes, each looked into. */
async function readKinds(scan: Scan, content: Content, head: Buffer, place: Place): Promise<Format[]> {
  const formats: Format[] = [];
  const kinds = identify(head);
  for (const kind of kinds) {
    const format = await readAs(scan, content, kind, place);
    if (format !== undefined) formats.push(format);
  }
  const name = sealedContainer(head);
  if (name !== undefined) {
    const message = `It is ${name}: what it holds cannot be looked into.`;
    scan.findings.add(content.path, 0, 'container.no-reader', message);
    formats.push(opaque);
  }
  // Any bytes may be a pickle: half of the protocols have no magic.
  const torch = place.torchPickle;
  const claimed = torch || (formats.length === 0 && claimedBy(content.path) === 'pickle');
  const [first] = head;
  if (claimed || (first !== undefined && opcodes[first] !== undefined)) {
    const format = await readPickle(scan, content, { claimed, torch });
    if (format !== undefined) formats.push(format);
  }
  // Zip archives are found from their end, whatever they begin with. A tar archive may well end with one.
  if (content.source === undefined || kinds.includes('zip') || kinds.includes('tar')) return formats;
  const zip = await inspectZip(scan, content, place, place.depth === 0 ? undefined : memberTail);
  if (zip !== undefined) formats.push(zip);
  return formats;
}

/** A content of no known kind whose name says one: its reader tells what is wrong with it. */
async function readClaimed(scan: Scan, content: Content, place: Place): Promise<Format> {
  const claimed = claimedBy(content.path);
  if (claimed === undefined) return opaque;
  const add = (message: string) => scan.findings.add(content.path, null, 'file.not-what-it-says', message);
  if ((await headOf(content)).length === 0) add('The file is empty.');
  else if (claimed === 'onnx' || claimed === 'safetensors' || claimed === 'gguf') {
    return (await readAs(scan, content, claimed, place)) ?? opaque;
  } else add(`Its name says that it is ${claimed}, its bytes do not.`);
  return opaque;
}

async function inspectContent(scan: Scan, content: Content, place: Place): Promise<Format> {
  const { findings, limits } = scan;
  if (place.depth > limits.archiveDepth) {
    const message = `Archives are nested deeper than ${limits.archiveDepth} levels.`;
    findings.add(content.path, null, 'archive.depth', message);
    return opaque;
  }
  const formats: Format[] = [];
  try {
    const head = await headOf(content);
    formats.push(...(await readKinds(scan, content, head, place)));
    if (formats.length === 0) return await readClaimed(scan, content, place);
  } catch (error) {
    addError(findings, content.path, error);
  }
  if (formats.length > 1) {
    const message = 'The file is several things at once: what it is depends on who opens it.';
    findings.add(content.path, null, 'container.polyglot', message);
  }
  return formats.find((format) => format !== opaque) ?? opaque;
}

/**
 * Inspects a file.
 * @param name as its owner calls it, for the findings; and where the bytes are of no known kind, a name that says one
 * makes the file UNREADABLE.
 */
export async function inspectFile(
  source: ByteSource,
  name: string,
  limits: Limits = defaultLimits,
): Promise<Inspection> {
  const findings = new Findings(limits.findings);
  const scan: Scan = {
    limits,
    findings,
    expansion: new Expansion(limits, source.size),
    steps: 0,
    contents: null,
    inspect: (content, place) => inspectContent(scan, content, place),
  };
  const format = await scan.inspect(contentOf(source, name), { depth: 0, torchPickle: false });
  return {
    format,
    verdict: findings.verdict,
    findings: findings.list,
    contents: scan.contents,
    truncatedFindings: findings.truncated,
  };
}
