import { parse, subscribe } from 'graphql';
import { expect, test } from 'vitest';
import { openStage, type Stage } from './door.ts';
import { entryOf, EntryLog, logSchema } from './entry-log.ts';
import { RawClient } from './raw-client.ts';

const query = 'subscription ($after: Int) { log(after: $after) { number text } }';
const LARGE = 'x'.repeat(50_000);

/** A reader that has stopped, with so much waiting for it that nothing is added any more. */
async function stoppedReader(log: EntryLog, stage: Stage): Promise<RawClient> {
  const reader = await RawClient.connect(stage.url);
  reader.subscribe('slow', query, { after: 0 });
  await reader.drain();
  const other = await RawClient.connect(stage.url);
  other.subscribe('fast', query, { after: 0 });
  await other.drain();
  reader.pause();
  // The kernel's own buffers take megabytes before a slow reader can be seen.
  while (stage.sharing.stats().leftBehind === 0) {
    log.push(1, LARGE);
    await other.next();
  }
  return reader;
}

test('a reader that stops and goes on gets everything, in order, and what waits meanwhile is bounded', async () => {
  const log = new EntryLog();
  const stage = await openStage({ schema: logSchema(log), parseAndValidate: parse });
  const reader = await stoppedReader(log, stage);
  log.push(200, LARGE);
  reader.resume();
  const numbers = (await reader.take(log.length)).map((message) => entryOf(message).number);
  expect(numbers).toEqual(log.entries.map(({ number }) => number));
  log.push();
  expect(entryOf(await reader.next()).number).toBe(log.length);
  const { maxBufferedBytes, closedSlow, skipped } = stage.sharing.stats();
  expect(maxBufferedBytes).toBeLessThan(512 * 1024);
  expect([closedSlow, skipped]).toEqual([0, 0]);
});

test('over any other transport the same source gives everything, and ends at once', async () => {
  const log = new EntryLog();
  log.push(25);
  const document = parse('subscription { log(after: 2, evenOnly: true) { number } }');
  const results = await subscribe({ schema: logSchema(log), document });
  if (!(Symbol.asyncIterator in results)) throw new Error('Expected a stream.');
  for (let number = 4; number <= 24; number += 2) {
    expect(await results.next()).toEqual({ done: false, value: { data: { log: { number } } } });
  }
  const waiting = results.next();
  log.push();
  expect(await waiting).toMatchObject({ value: { data: { log: { number: 26 } } } });
  const last = results.next();
  await results.return();
  expect(await last).toEqual({ done: true, value: undefined });
});
