/** Writes .npy files (numpy/lib/format.py). */
import { uint16 } from './zip-writer.ts';

/** @param description the header's `descr`, as Python writes it @param shape likewise, such as `(3,)` */
export function npy(description: string, shape: string, body: Buffer): Buffer {
  const header = `{'descr': ${description}, 'fortran_order': False, 'shape': ${shape}, }\n`;
  return Buffer.concat([
    Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
    uint16(header.length),
    Buffer.from(header, 'latin1'),
    body,
  ]);
}
