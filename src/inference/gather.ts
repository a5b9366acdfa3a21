/**
 * When calls go out to their replicas: what comes at the same time travels together, because each exchange wakes a process
 * on either side. A lone call goes out at once; where several wait, for one replica or
 * for many, the event loop looks once or twice more for what has arrived meanwhile.
 */
export interface Sender {
  /** Calls that wait and may share an exchange. */
  shareable(): number;
  /** Sends what waits; never throws. */
  send(): void;
}

/** Further looks, at most; and calls that are worth no further one. */
const MOST_LOOKS = 2;
const ENOUGH = 32;

let senders: Sender[] = [];

/** Has `send` called, once, after the poll phase: by then everything that this turn brought has called. */
export function sendSoon(sender: Sender): void {
  senders.push(sender);
  if (senders.length === 1) setImmediate(look, 0, 0);
}

function look(before: number, looks: number): void {
  let waiting = 0;
  for (const sender of senders) waiting += sender.shareable();
  if (waiting > Math.max(1, before) && waiting < ENOUGH && looks < MOST_LOOKS) {
    setImmediate(look, waiting, looks + 1);
    return;
  }
  const ready = senders;
  senders = [];
  for (const sender of ready) sender.send();
}
