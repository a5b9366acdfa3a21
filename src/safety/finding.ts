/** What an inspection has found, and what each kind of finding means for the file. */

/** From best to worst, except that a broken file says less than a dangerous one. */
export const verdicts = ['SAFE', 'SUSPICIOUS', 'UNREADABLE', 'DANGEROUS'] as const;
export type Verdict = (typeof verdicts)[number];

/**
 * Every rule by its stable id, and the verdict that breaking it leads to. DANGEROUS is what harms whoever opens the
 * file as its format says; SUSPICIOUS what may, or cannot be looked into; UNREADABLE what its own loader refuses.
 */
export const rules = {
  'pickle.denied-global': 'DANGEROUS',
  'pickle.unresolved-global': 'DANGEROUS',
  'pickle.hidden-in-array': 'DANGEROUS',
  'pickle.frame': 'DANGEROUS',
  'pickle.unknown-global': 'SUSPICIOUS',
  'pickle.computed-callee': 'SUSPICIOUS',
  'pickle.unusual-call': 'SUSPICIOUS',
  'pickle.computed-text': 'SUSPICIOUS',
  'pickle.special-attribute': 'SUSPICIOUS',
  'pickle.changes-class': 'SUSPICIOUS',
  'pickle.extension-code': 'SUSPICIOUS',
  'pickle.persistent-id': 'SUSPICIOUS',
  'pickle.out-of-band': 'SUSPICIOUS',
  'pickle.trailing-bytes': 'SUSPICIOUS',
  'pickle.limit': 'SUSPICIOUS',
  'pickle.broken': 'UNREADABLE',
  'pickle.truncated': 'UNREADABLE',
  'joblib.array-within-frame': 'DANGEROUS',
  'joblib.hidden-array': 'DANGEROUS',
  'joblib.padding': 'SUSPICIOUS',
  'joblib.unclear-array': 'SUSPICIOUS',
  'torch.storages': 'SUSPICIOUS',
  'torch.script': 'SUSPICIOUS',
  'numpy.element-type': 'SUSPICIOUS',
  'numpy.header': 'UNREADABLE',
  'numpy.truncated': 'UNREADABLE',
  'numpy.trailing-bytes': 'SUSPICIOUS',
  'zip.broken': 'UNREADABLE',
  'zip.header-mismatch': 'UNREADABLE',
  'zip.checksum': 'UNREADABLE',
  'zip.size': 'UNREADABLE',
  'zip.overlap': 'DANGEROUS',
  'zip.hidden-member': 'DANGEROUS',
  'zip.unlisted-bytes': 'SUSPICIOUS',
  'zip.prefix': 'SUSPICIOUS',
  'zip.suffix': 'SUSPICIOUS',
  'zip.encrypted': 'SUSPICIOUS',
  'zip.method': 'SUSPICIOUS',
  'zip.multi-disk': 'SUSPICIOUS',
  'tar.broken': 'UNREADABLE',
  'tar.checksum': 'UNREADABLE',
  'tar.member-type': 'SUSPICIOUS',
  'tar.suffix': 'SUSPICIOUS',
  'archive.path-escapes': 'DANGEROUS',
  'archive.path-control': 'DANGEROUS',
  'archive.link': 'DANGEROUS',
  'archive.device': 'DANGEROUS',
  'archive.bomb': 'DANGEROUS',
  'archive.duplicate-name': 'SUSPICIOUS',
  'archive.members': 'SUSPICIOUS',
  'archive.depth': 'SUSPICIOUS',
  'archive.too-large': 'SUSPICIOUS',
  'compression.broken': 'UNREADABLE',
  'compression.suffix': 'SUSPICIOUS',
  'compression.dictionary': 'SUSPICIOUS',
  'container.no-reader': 'SUSPICIOUS',
  'container.polyglot': 'SUSPICIOUS',
  'safetensors.header': 'UNREADABLE',
  'safetensors.tensors': 'UNREADABLE',
  'gguf.broken': 'UNREADABLE',
  'gguf.tensors': 'UNREADABLE',
  'gguf.tensor-type': 'SUSPICIOUS',
  'gguf.template': 'SUSPICIOUS',
  'onnx.broken': 'UNREADABLE',
  'onnx.tensor-size': 'UNREADABLE',
  'onnx.external-path': 'DANGEROUS',
  'onnx.nesting': 'DANGEROUS',
  'onnx.unknown-domain': 'SUSPICIOUS',
  'onnx.runs-python': 'DANGEROUS',
  'file.not-what-it-says': 'UNREADABLE',
  'inspection.limit': 'UNREADABLE',
} as const satisfies Readonly<Record<string, Verdict>>;

export type Rule = keyof typeof rules;

export interface Finding {
  /** The file's name as it was given, then each archive member's behind a `!`. */
  readonly path: string;
  /** In bytes from the start of what `path` names, unpacked; null where it lies at no one place. */
  readonly offset: number | null;
  readonly rule: Rule;
  /** One sentence for people. It quotes the file: show it as text. */
  readonly message: string;
}

const maxMessage = 300;

/** Control characters, and those that reverse or hide text, would make a message say what it does not. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

export function printable(text: string): string {
  const clean = text.replace(unprintable, '\ufffd');
  return clean.length > maxMessage ? `${clean.slice(0, maxMessage - 1)}…` : clean;
}

/** Collects findings up to a limit; the verdict counts all of them. */
export class Findings {
  readonly list: Finding[] = [];
  /** How many there are, those not listed among them. */
  total = 0;
  truncated = false;
  verdict: Verdict = 'SAFE';
  readonly #max: number;
  readonly #seen = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  /** The same finding at several places of one content is listed where it stands first. */
  add(path: string, offset: number | null, rule: Rule, message: string): void {
    const text = printable(message);
    const key = `${path}\n${rule}\n${text}`;
    if (this.#seen.has(key)) return;
    this.total += 1;
    const worse = verdicts.indexOf(rules[rule]) > verdicts.indexOf(this.verdict);
    if (worse) this.verdict = rules[rule];
    if (this.list.length >= this.#max) {
      this.truncated = true;
      // What decides the verdict must be among what is told.
      if (!worse) return;
      this.list.pop();
    }
    this.#seen.add(key);
    this.list.push({ path: printable(path), offset, rule, message: text });
  }
}
