/** How far something is: one line that changes on a terminal, a line now and then elsewhere. */
import type { WriteStream } from 'node:tty';

const TERMINAL_MS = 200;
const PLAIN_MS = 10_000;

/** In powers of ten: `812 kB`, `3.40 GB`. */
export function shownBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

/** As a person would say it: `8 s`, `4 min`, `3 h`. */
function shownSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5_400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3_600).toFixed(1)} h`;
}

export function progressLine(what: string, done: number, total: number, seconds: number): string {
  const rate = done / Math.max(seconds, 0.001);
  const left = done > 0 && done < total ? `, ${shownSeconds((total - done) / rate)} left` : '';
  const percent = total > 0 ? Math.floor((done / total) * 100) : 100;
  return `${what}: ${shownBytes(done)} of ${shownBytes(total)} (${percent} %), ${shownBytes(rate)}/s${left}`;
}

export class Progress {
  readonly #out: WriteStream;
  #what = '';
  #total = 0;
  #done = 0;
  #since = 0;
  #shownAt = 0;
  #wasShown = false;
  #isOpen = false;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  begin(what: string, total: number): void {
    this.end();
    this.#wasShown = false;
    this.#what = what;
    this.#total = total;
    this.#done = 0;
    this.#since = Date.now();
    this.#shownAt = Date.now();
  }

  moved(bytes: number): void {
    this.#done += bytes;
    if (this.#done >= this.#total) return this.end();
    if (Date.now() - this.#shownAt >= (this.#out.isTTY ? TERMINAL_MS : PLAIN_MS)) this.#show();
  }

  /** A line of its own. */
  say(line: string): void {
    this.#clear();
    this.#out.write(`${line}\n`);
  }

  /** The last state stays; what was too short to be shown is not. */
  end(): void {
    if (this.#wasShown) this.#show();
    this.#wasShown = false;
    if (this.#isOpen) this.#out.write('\n');
    this.#isOpen = false;
  }

  #show(): void {
    this.#shownAt = Date.now();
    this.#wasShown = true;
    const line = progressLine(this.#what, this.#done, this.#total, (Date.now() - this.#since) / 1000);
    if (!this.#out.isTTY) return void this.#out.write(`${line}\n`);
    this.#clear();
    this.#out.write(line);
    this.#isOpen = true;
  }

  #clear(): void {
    if (this.#isOpen) this.#out.write('\r\u001B[K');
    this.#isOpen = false;
  }
}
