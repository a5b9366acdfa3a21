import { randomUUID } from 'node:crypto';
import { validate } from 'uuid';

const MOST_IN_A_MS = 0xfff;
let time = 0;
let counter = 0;

/**
 * A new UUIDv7: sorts by time of creation, so keyset pages by id are pages by time. Within a millisecond a counter
 * keeps the order (RFC 9562, 6.2, method 1). Node draws the randomness of many UUIDs at a time; a draw for each, as the
 * uuid package does, costs every request a microsecond or more.
 */
export function newId(): string {
  const now = Date.now();
  if (now > time) {
    time = now;
    counter = 0;
  } else if (++counter > MOST_IN_A_MS) {
    time += 1;
    counter = 0;
  }
  const digits = time.toString(16).padStart(12, '0');
  const order = counter.toString(16).padStart(3, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8)}-7${order}-${randomUUID().slice(19)}`;
}

/** Whether a text is a UUID, so that it may be compared with a uuid column. */
export function isId(text: string): boolean {
  return validate(text);
}

/** When a UUIDv7 was made, to the millisecond. */
export function timeOfId(id: string): Date {
  return new Date(Number.parseInt(`${id.slice(0, 8)}${id.slice(9, 13)}`, 16));
}
