/** Names what a file that is no ONNX model is instead: the commonest mistake is the wrong file. */

const magics: readonly { readonly at: number; readonly bytes: string; readonly name: string }[] = [
  {
    at: 0,
    bytes: 'PK\x03\x04',
    name: 'a ZIP archive (PyTorch .pt, NumPy .npz and Keras .keras files are such)',
  },
  { at: 0, bytes: 'PK\x05\x06', name: 'an empty ZIP archive' },
  { at: 0, bytes: '\x1f\x8b', name: 'gzip: unpack it first' },
  { at: 0, bytes: '\x28\xb5\x2f\xfd', name: 'Zstandard: unpack it first' },
  { at: 0, bytes: '\x89HDF', name: 'HDF5 (a Keras .h5 file)' },
  { at: 0, bytes: '\x93NUMPY', name: 'a NumPy array' },
  { at: 0, bytes: '\x89PNG', name: 'a PNG image' },
  { at: 0, bytes: '%PDF', name: 'a PDF document' },
  { at: 0, bytes: 'PAR1', name: 'a Parquet table' },
  { at: 0, bytes: '\x7fELF', name: 'a program (ELF)' },
  { at: 4, bytes: 'ORTM', name: "ONNX Runtime's own format (.ort): upload the .onnx file it was made from" },
  { at: 4, bytes: 'TFL3', name: 'a TensorFlow Lite model' },
  {
    at: 0,
    bytes: 'version https://git-lfs',
    name: 'a Git LFS pointer: fetch the file itself with `git lfs pull`',
  },
  ...['\x80\x02', '\x80\x03', '\x80\x04', '\x80\x05'].map((bytes) => ({
    at: 0,
    bytes,
    name: 'a Python pickle',
  })),
];

/** What the first bytes say the file is, where that cannot be ONNX. */
export function foreignFormat(head: Buffer): string | undefined {
  return magics.find(({ at, bytes }) => head.toString('latin1', at, at + bytes.length) === bytes)?.name;
}

/** Whether the first 512 bytes are printable text: then that is what a failed reading should report. */
export function looksLikeText(head: Buffer): boolean {
  const sample = head.toString('utf8', 0, 512);
  // eslint-disable-next-line no-control-regex -- telling binary from text is about control characters
  return sample.length > 0 && !/[\u0000-\u0008\u000e-\u001f\u007f\ufffd]/.test(sample.slice(0, -1));
}
