/** Row n of a request is the prediction `<request>:<n>`. */
import { isId } from '../platform/id.ts';

/** Request and row that an id such as `<request>:<n>` means. */
export function parsePredictionId(id: string): { requestId: string; row: number } | undefined {
  const [, requestId, row] = /^([0-9a-f-]{36}):(0|[1-9]\d{0,8})$/i.exec(id) ?? [];
  if (requestId === undefined || row === undefined || !isId(requestId)) return undefined;
  return { requestId: requestId.toLowerCase(), row: Number(row) };
}
