/**
 * A server of somebody else's that speaks the Open Inference Protocol v2: whether it is ready to answer for a version, and
 * whether it takes binary tensors. Source: kserve/open-inference-protocol, `inference_rest.md`.
 */
import { Agent, request } from 'undici';
import { z } from 'zod';
import type { Signature, TensorSpec } from '../signature/signature.ts';
import { foreignText } from '../text/foreign.ts';

/** `http(s)://host[:port][/prefix]/v2/models/<model>[/versions/<version>]` */
const modelUrl = /^(https?:\/\/[^/?#@]+(?:\/[^?#]*?)?\/v2)\/models\/[^/?#]+(?:\/versions\/[^/?#]+)?$/;

/** The root of the protocol at the server of a model's URL; undefined for a text that is no such URL. */
export function protocolRoot(endpoint: string): string | undefined {
  return URL.canParse(endpoint) ? modelUrl.exec(endpoint)?.[1] : undefined;
}

/** It is not ready for this version; the message tells why, in words for a person. */
export class ExternalServerError extends Error {
  override readonly name = 'ExternalServerError';
}

/** Characters of what differs. */
const MOST_TOLD = 1_000;
const TIMEOUT_MS = 3_000;
const agent = new Agent({ maxResponseSize: 1024 ** 2, connect: { timeout: TIMEOUT_MS } });

const tensors = z.array(
  z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.coerce.number()) }),
);
const metadataForm = z.object({ inputs: tensors, outputs: tensors });
const serverForm = z.object({ extensions: z.array(z.string()).optional() });
type Declared = z.infer<typeof tensors>[number];

/** An answer of the server. What it says beyond its status is shown to nobody: it may be any program's. */
async function get(url: string): Promise<{ status: number; body: unknown }> {
  try {
    const answer = await request(url, { dispatcher: agent, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: parsed(text) };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    throw new ExternalServerError(`${url} cannot be reached (${code ?? name}).`, { cause: error });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @throws ExternalServerError unless the model there is ready. */
export async function checkReady(endpoint: string): Promise<void> {
  const { status } = await get(`${endpoint}/ready`);
  if (status !== 200) throw new ExternalServerError(`${endpoint}/ready answers ${status}, not 200.`);
}

/**
 * Looks whether the model there takes and answers what a version does.
 * @throws ExternalServerError with every difference, or when it is not ready.
 */
export async function inspectServer(endpoint: string, signature: Signature): Promise<{ binary: boolean }> {
  await checkReady(endpoint);
  const { status, body } = await get(endpoint);
  const metadata = metadataForm.safeParse(body);
  if (status !== 200 || !metadata.success) {
    throw new ExternalServerError(
      `${endpoint} answers ${status} without a model's metadata as the Open Inference Protocol has it.`,
    );
  }
  const differences = [
    ...differencesOf('input', signature.inputs, metadata.data.inputs),
    ...surplus(signature.inputs, metadata.data.inputs),
    ...differencesOf('output', signature.outputs, metadata.data.outputs),
  ];
  if (differences.length > 0) {
    const told = foreignText(differences.join(' '), MOST_TOLD);
    throw new ExternalServerError(`${endpoint} serves something else: ${told}`);
  }
  const server = serverForm.safeParse((await get(protocolRoot(endpoint) as string)).body);
  return { binary: server.success && (server.data.extensions ?? []).includes('binary_tensor_data') };
}

function differencesOf(
  kind: 'input' | 'output',
  wanted: readonly TensorSpec[],
  declared: readonly Declared[],
): string[] {
  return wanted.flatMap((spec) => {
    const there = declared.find(({ name }) => name === spec.name);
    if (!there) return [`it has no ${kind} ${spec.name}.`];
    if (there.datatype !== spec.datatype)
      return [`its ${kind} ${spec.name} is ${there.datatype}, not ${spec.datatype}.`];
    if (fits(spec.shape, there.shape)) return [];
    return [
      `its ${kind} ${spec.name} has shape [${there.shape.join(', ')}], not [${spec.shape.join(', ')}].`,
    ];
  });
}

const surplus = (wanted: readonly TensorSpec[], declared: readonly Declared[]): string[] =>
  declared
    .filter(({ name }) => !wanted.some((spec) => spec.name === name))
    .map(({ name }) => `it also wants an input ${name}.`);

/** Dimensions agree where both are told; -1 is any. */
const fits = (wanted: readonly number[], declared: readonly number[]): boolean =>
  wanted.length === declared.length &&
  wanted.every((size, at) => size === declared[at] || size === -1 || declared[at] === -1);
