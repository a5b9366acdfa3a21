import { v7, validate } from 'uuid';

/** A new UUIDv7: sorts by time of creation, so keyset pages by id are pages by time. */
export function newId(): string {
  return v7();
}

/** Whether a text is a UUID, so that it may be compared with a uuid column. */
export function isId(text: string): boolean {
  return validate(text);
}
