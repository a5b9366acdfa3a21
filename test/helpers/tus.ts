/** Sending files bit by bit, as people do: with the reference client of the tus protocol. */
import { DetailedError, Upload } from 'tus-js-client';

export interface TusFile {
  readonly content: Buffer;
  /** Where it goes on; without it, a new one is begun. */
  readonly url?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly token?: string;
  /** In bytes; without it all in one request. */
  readonly chunkSize?: number;
  /** Told how much is sent; `stop` breaks the line. */
  readonly onProgress?: (sent: number, stop: () => void) => void;
  /** How soon the client tries again, in milliseconds; none: never. */
  readonly retryDelays?: number[];
}

export type Sent =
  | { readonly state: 'whole' | 'broken'; readonly url: string }
  | {
      readonly state: 'refused';
      readonly url: string | null;
      readonly status: number;
      readonly body: string;
    };

/** Sends a file to `/uploads`. */
export function sendByTus(origin: string, file: TusFile): Promise<Sent> {
  const { content, url, metadata = {}, token, chunkSize = Number.POSITIVE_INFINITY } = file;
  return new Promise((resolve, reject) => {
    const upload: Upload = new Upload(content, {
      endpoint: `${origin}/uploads`,
      ...(url === undefined ? {} : { uploadUrl: new URL(url, origin).href }),
      metadata,
      chunkSize,
      retryDelays: file.retryDelays ?? [],
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      uploadSize: content.length,
      onSuccess: () => resolve({ state: 'whole', url: upload.url ?? '' }),
      onError: (error) => {
        if (!(error instanceof DetailedError)) return reject(error);
        if (!error.originalResponse) return resolve({ state: 'broken', url: upload.url ?? url ?? '' });
        const { originalResponse: answer } = error;
        resolve({
          state: 'refused',
          url: upload.url,
          status: answer.getStatus(),
          body: answer.getBody(),
        });
      },
      onProgress: (sent) =>
        file.onProgress?.(sent, () => {
          upload.abort().then(() => resolve({ state: 'broken', url: upload.url ?? '' }), reject);
        }),
    });
    upload.start();
  });
}
