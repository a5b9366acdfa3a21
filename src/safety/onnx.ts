/** The static rules of ONNX: where its data lie, whose operators it uses, whether tensors have the bytes they claim. */
import { foreignFormat, looksLikeText } from '../onnx/foreign-format.ts';
import { EndOfBytes } from './byte-stream.ts';
import type { Content } from './content.ts';
import type { Rule } from './finding.ts';
import { isPlainRelativePath } from './member-name.ts';
import { BrokenOnnx, OnnxNesting, walkOnnx } from './onnx-walk.ts';
import type { Message, OnnxField, OnnxVisitor } from './onnx-walk.ts';
import { TensorCheck } from './onnx-tensor.ts';
import type { Scan } from './scan.ts';

/** Operator domains that onnxruntime carries. */
const carriedDomains = new Set([
  // Another way to write the next.
  '',
  'ai.onnx',
  'ai.onnx.ml',
  'ai.onnx.training',
  'ai.onnx.preview',
  'ai.onnx.preview.training',
  'com.microsoft',
  'com.microsoft.nchwc',
  'com.microsoft.experimental',
  'com.ms.internal.nhwc',
  'org.pytorch.aten',
]);

/** Operators that hand over to Python. */
const pythonOperators = new Set(['PyOp', 'PyCustomOp', 'PythonOp', 'PythonOpGrad']);

const maxIrVersion = 100;
const maxOpsetVersion = 1000;

/** Pairs of domain and operator that are kept until the functions are known, which stand behind the graph. */
const maxOperators = 10_000;

/** Functions of a model that are kept; the operators of those beyond are taken for unknown. */
const maxFunctions = 100_000;

/** What a path that is plain on its face may still mean to a program that opens it. */
const meantOtherwise = /^~|%2e|%2f|%5c|->|:/i;

class OnnxRules implements OnnxVisitor {
  readonly #add: (rule: Rule, message: string) => void;
  readonly #operators = new Set<string>();
  readonly #functions = new Set<string>();
  readonly #tensors: TensorCheck[] = [];
  #irVersion = 0;
  #graphs = 0;
  #nodes = 0;
  #outputs = 0;
  #opsets = 0;
  #operator = ['', ''];
  #function = ['', ''];
  #entry = ['', ''];

  constructor(add: (rule: Rule, message: string) => void) {
    this.#add = add;
  }

  begin(message: Message): void {
    if (message === 'tensor') this.#tensors.push(new TensorCheck());
    if (message === 'node') this.#operator = ['', ''];
    if (message === 'function') this.#function = ['', ''];
    if (message === 'entry') this.#entry = ['', ''];
    if (message === 'graph') this.#graphs += 1;
    if (message === 'opset') this.#opsets += 1;
  }

  field(message: Message, field: OnnxField): void {
    const { number, text } = field;
    if (message === 'model' && number === 1) this.#irVersion = field.value;
    else if (message === 'graph' && number === 12) this.#outputs += 1;
    else if (message === 'node' && number === 4) this.#operator[0] = text;
    else if (message === 'node' && number === 7) this.#operator[1] = text;
    else if (message === 'function' && number === 1) this.#function[0] = text;
    else if (message === 'function' && number === 10) this.#function[1] = text;
    else if (message === 'entry') this.#entry[number === 1 ? 0 : 1] = text;
    else if (message === 'opset' && number === 2) this.#opset(field.value);
    else if (message === 'tensor') this.#tensors.at(-1)?.field(field);
  }

  end(message: Message): void {
    if (message === 'node') this.#node();
    else if (message === 'function') {
      if (this.#functions.size < maxFunctions)
        this.#functions.add(`${this.#function[1]} ${this.#function[0]}`);
    } else if (message === 'entry') this.#external();
    else if (message === 'tensor') {
      const problem = this.#tensors.pop()?.problem();
      if (problem !== undefined) this.#add('onnx.tensor-size', problem);
    }
  }

  #opset(version: number): void {
    if (version >= 0 && version <= maxOpsetVersion) return;
    throw new BrokenOnnx(`The operator set version ${version} does not exist.`);
  }

  /** Whether operators were met, which no bytes hold by accident. */
  get hasNodes(): boolean {
    return this.#nodes > 0;
  }

  #node(): void {
    const [operator = '', domain = ''] = this.#operator;
    if (/^\w+$/.test(operator)) this.#nodes += 1;
    if (pythonOperators.has(operator)) {
      this.#add('onnx.runs-python', `The operator ${operator} runs Python.`);
    }
    if (carriedDomains.has(domain)) return;
    if (this.#operators.size < maxOperators) this.#operators.add(`${domain} ${operator}`);
    else
      this.#add(
        'onnx.unknown-domain',
        'The model uses too many operators of domains that the runtime does not carry.',
      );
  }

  #external(): void {
    const [key, value = ''] = this.#entry;
    this.#tensors.at(-1)?.markExternal();
    if (key === 'location') {
      const location = value.replace(/^\.\//, '');
      if (isPlainRelativePath(location) && !meantOtherwise.test(location)) return;
      const shown = JSON.stringify(value.slice(0, 100));
      this.#add(
        'onnx.external-path',
        `A tensor's data should come from ${shown}, which is not plainly beside the model.`,
      );
    } else if ((key === 'offset' || key === 'length') && !/^\d{1,16}$/.test(value)) {
      this.#add(
        'onnx.broken',
        `A tensor's data should have the ${key} ${JSON.stringify(value.slice(0, 100))}.`,
      );
    }
  }

  /** What only the whole model tells. */
  conclude(): void {
    for (const pair of this.#operators) {
      if (this.#functions.has(pair)) continue;
      const [domain = '', operator = ''] = pair.split(' ');
      const message = `The operator ${operator} is of the domain ${domain}, which the runtime does not carry.`;
      this.#add('onnx.unknown-domain', message);
    }
    if (!(this.#irVersion >= 1 && this.#irVersion <= maxIrVersion)) {
      throw new BrokenOnnx(`The format version ${this.#irVersion} does not exist.`);
    }
    if (this.#graphs === 0 || this.#outputs === 0 || this.#opsets === 0) {
      throw new BrokenOnnx('It is no whole model: graph, outputs or operator sets are missing.');
    }
  }
}

/** What an end that is no proper one says; undefined for an error of another kind. */
function endRule(error: unknown): readonly [Rule, string] | undefined {
  if (error instanceof BrokenOnnx) return ['onnx.broken', error.message];
  if (error instanceof OnnxNesting) return ['onnx.nesting', error.message];
  return error instanceof EndOfBytes ? ['onnx.broken', 'The file is cut short.'] : undefined;
}

/** What a file that is no ONNX model is, where its first bytes tell. */
async function insteadOfOnnx(content: Content): Promise<string | undefined> {
  const stream = content.open();
  const head = Buffer.from(await stream.peek(512));
  stream.close();
  return foreignFormat(head) ?? (looksLikeText(head) ? 'text' : undefined);
}

/**
 * Judges an ONNX file by itself. Whether its external data are there, and whether it loads, others find out.
 * @param claimed whether it is said to be ONNX; else its bytes must show it.
 * @returns whether it is.
 */
export async function inspectOnnxFile(scan: Scan, content: Content, claimed: boolean): Promise<boolean> {
  const found: (readonly [Rule, string])[] = [];
  const rules = new OnnxRules((rule, message) => {
    if (found.length < scan.limits.findings) found.push([rule, message]);
  });
  let end: readonly [Rule, string] | undefined;
  try {
    await walkOnnx(content.open(), content.size, rules);
    rules.conclude();
  } catch (error) {
    end = endRule(error);
    if (end === undefined) throw error;
  }
  if (end !== undefined && !rules.hasNodes) {
    if (!claimed) return false;
    // The commonest mistake is the wrong file: what it is instead says more than where reading it failed.
    const what = await insteadOfOnnx(content);
    if (what !== undefined) end = ['file.not-what-it-says', `It is no ONNX model but ${what}.`];
  }
  for (const [rule, message] of end === undefined ? found : [...found, end]) {
    scan.findings.add(content.path, null, rule, message);
  }
  return true;
}
