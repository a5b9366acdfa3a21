/**
 * The GraphQL multipart request specification, streamed: `operations` and `map` come first and the operation runs
 * as soon as they are there, so a caller is refused before the first byte of a file is stored; then each file flows
 * through to whoever asked for it, with backpressure.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import busboy from 'busboy';
import type { DocumentNode } from 'graphql';
import { z } from 'zod';
import { DomainError } from '#src/platform/errors.ts';
import type { Logger } from '#src/platform/logger.ts';
import { withoutHttp } from '../errors.ts';
import type { Execution } from '../execution.ts';
import { logOutcome } from './request-log.ts';
import { cutOff, identityOf, refuse, sendJson } from './request.ts';
import { Upload } from './upload.ts';

const operationsShape = z.object({
  query: z.string(),
  variables: z.record(z.string(), z.unknown()).nullish(),
  operationName: z.string().nullish(),
});
const mapShape = z.record(z.string(), z.array(z.string()).min(1));

interface Arriving {
  readonly stream: Readable;
  readonly fileName: string;
}

/** A file part that somebody may wait for before it arrives. */
class Slot {
  readonly upload: Upload;
  readonly #arrival = Promise.withResolvers<Arriving>();
  #isOver = false;

  constructor() {
    this.upload = new Upload(this.#arrival.promise);
  }

  arrive(file: Arriving): void {
    this.#isOver = true;
    file.stream.on('error', () => undefined);
    this.#arrival.resolve(file);
  }

  fail(reason: Error): void {
    if (!this.#isOver) this.#arrival.reject(reason);
  }
}

/** The sender's fault, also where it shows only while a file is awaited. */
class BadForm extends DomainError {
  readonly code = 'BAD_FORM';
}

/** The handler of multipart requests. */
export function multipart(
  execution: Execution,
  limits: { bodyBytes: number; files: number },
  logger: Logger,
): (req: IncomingMessage, res: ServerResponse) => Promise<void> {
  return async (req, res) => {
    let form: Form;
    try {
      form = new Form(req, limits);
    } catch (error) {
      return refuse(res, 400, 'BAD_FORM', (error as Error).message);
    }
    try {
      const operation = await form.operation;
      const checked = execution.check(operation.query);
      if (Array.isArray(checked)) return sendJson(res, 400, { errors: checked.map(withoutHttp) });
      if (operationKind(checked as DocumentNode, operation.operationName) !== 'mutation') {
        return refuse(res, 400, 'BAD_FORM', 'Files go with a mutation.');
      }
      const { viewer, requestId } = identityOf(req);
      const startedAt = performance.now();
      const result = await execution.run({
        document: checked as DocumentNode,
        operationName: operation.operationName ?? undefined,
        variables: operation.variables,
        context: execution.contextOf(viewer, requestId),
      });
      logOutcome(logger, req, checked as DocumentNode, result, startedAt);
      if (req.destroyed && !req.complete) return;
      sendJson(res, 200, { ...result, errors: result.errors?.map(withoutHttp) });
    } catch (error) {
      if (error instanceof BadForm) return refuse(res, 400, 'BAD_FORM', error.message);
      sendJson(res, 500, { errors: [execution.mask(error)] });
    } finally {
      form.end();
      cutOff(req);
    }
  };
}

function operationKind(document: DocumentNode, name: string | null | undefined): string | undefined {
  const operations = document.definitions.filter((definition) => definition.kind === 'OperationDefinition');
  const operation = name ? operations.find((one) => one.name?.value === name) : operations[0];
  return operation?.operation;
}

/** A form as it arrives. */
class Form {
  readonly #req: IncomingMessage;
  readonly #parser: busboy.Busboy;
  readonly #slots = new Map<string, Slot>();
  readonly #operation = Promise.withResolvers<Operation>();
  #operations: string | undefined;
  #map: string | undefined;
  #isKnown = false;

  /** @throws Error for headers that are no form's. */
  constructor(req: IncomingMessage, limits: { bodyBytes: number; files: number }) {
    this.#req = req;
    this.#parser = busboy({
      headers: req.headers,
      // File names are UTF-8 whatever the client forgets to say.
      defParamCharset: 'utf8',
      preservePath: true,
      limits: { fieldSize: limits.bodyBytes, fields: 16, files: limits.files + 1, parts: limits.files + 17 },
    });
    this.#operation.promise.catch(() => undefined);
    this.#parser.on('field', (name, value, { valueTruncated }) => this.#field(name, value, valueTruncated));
    this.#parser.on('file', (name, stream, { filename }) => this.#file(name, stream, filename));
    this.#parser.on('close', () =>
      this.#fail(new BadForm('The form ended before the parts that it promised.')),
    );
    this.#parser.on('error', (error) => this.#fail(new BadForm((error as Error).message)));
    req.on('close', () => {
      if (!req.complete) this.#parser.destroy(new BadForm('The request broke off.'));
    });
    req.pipe(this.#parser);
  }

  /** The operation with its files in their places; there as soon as `operations` and `map` are. */
  get operation(): Promise<Operation> {
    return this.#operation.promise;
  }

  #field(name: string, value: string, truncated: boolean): void {
    if (truncated) return this.#fail(new BadForm(`The part ${name} is larger than MAX_BODY_BYTES.`));
    if (name === 'operations') this.#operations = value;
    else if (name === 'map') this.#map = value;
    if (this.#isKnown || this.#operations === undefined || this.#map === undefined) return;
    this.#isKnown = true;
    try {
      this.#operation.resolve(this.#assemble(this.#operations, this.#map));
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #assemble(operations: string, map: string): Operation {
    const { query, variables, operationName } = parsePart('operations', operations, operationsShape);
    const places = parsePart('map', map, mapShape);
    const root = { variables: variables ?? {} };
    for (const [part, paths] of Object.entries(places)) {
      const slot = new Slot();
      this.#slots.set(part, slot);
      for (const path of paths) place(root, path, slot.upload);
    }
    return { query, operationName, variables: root.variables };
  }

  #file(name: string, stream: Readable, fileName: string | undefined): void {
    const slot = this.#slots.get(name);
    if (!this.#isKnown) {
      stream.resume();
      return this.#fail(new BadForm('The parts `operations` and `map` must come before the files.'));
    }
    if (!slot) {
      stream.resume();
      return;
    }
    slot.arrive({ stream, fileName: fileName ?? '' });
  }

  #fail(reason: Error): void {
    this.#operation.reject(reason);
    for (const slot of this.#slots.values()) slot.fail(reason);
  }

  /** Nothing more is read from the form. */
  end(): void {
    this.#req.unpipe(this.#parser);
  }
}

interface Operation {
  readonly query: string;
  readonly operationName: string | null | undefined;
  readonly variables: Record<string, unknown>;
}

function parsePart<T>(name: string, text: string, shape: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadForm(`The part ${name} is no JSON.`);
  }
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new BadForm(`The part ${name}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim());
}

/** Puts an upload where `map` says, which must be a null within the variables. */
function place(root: { variables: Record<string, unknown> }, path: string, upload: Upload): void {
  const keys = path.split('.');
  const last = keys.pop() as string;
  let at: unknown = root;
  for (const key of keys) {
    at =
      typeof at === 'object' && at !== null && Object.hasOwn(at, key)
        ? (at as Record<string, unknown>)[key]
        : undefined;
  }
  const isPlace = typeof at === 'object' && at !== null && Object.hasOwn(at, last);
  if (!isPlace || (at as Record<string, unknown>)[last] !== null || keys[0] !== 'variables') {
    throw new BadForm(`map: ${JSON.stringify(path)} must be the path of a null in operations.variables.`);
  }
  (at as Record<string, unknown>)[last] = upload;
}
