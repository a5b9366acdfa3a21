/** How somebody looks on while bytes are moved, and stops it. */
export interface Watch {
  /** Fires when it shall stop, and leave nothing half. */
  readonly signal: AbortSignal;
  /** Something begins that moves so many bytes. */
  begin(what: string, totalBytes: number): void;
  moved(bytes: number): void;
  say(line: string): void;
}
