/** The .lzma file: 13 bytes of header, then LZMA (XZ Utils: doc/lzma-file-format.txt). */
import { BrokenCompression } from './compression.errors.ts';
import { LzmaDecoder } from './lzma.ts';
import type { Codec } from './unpack.ts';

/** A .lzma file. @throws EndOfBytes, BrokenCompression, DictionaryTooLarge */
export const unlzma: Codec = async function* (reopen, limits) {
  const input = await reopen(0);
  await input.need(13);
  const properties = input.byte();
  const decoder = new LzmaDecoder(input, input.uint32(), limits.dictionaryBytes);
  decoder.setProperties(properties);
  const [low, high] = [input.uint32(), input.uint32()];
  const isOpen = low === 0xffffffff && high === 0xffffffff;
  const size = isOpen ? Infinity : high * 2 ** 32 + low;
  await decoder.begin();
  const decoded = yield* decoder.decode(size);
  if (!isOpen && decoded < size)
    throw new BrokenCompression('The LZMA data end before their announced length.');
  // With a known length the end marker may stand there or not.
  if (!isOpen && !decoder.isFinished && (yield* decoder.decode(1)) > 0) {
    throw new BrokenCompression('The LZMA data are longer than announced.');
  }
  if (!decoder.isFinished) throw new BrokenCompression('The LZMA data end wrong.');
  return input.position;
};
