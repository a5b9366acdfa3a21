import { describe, expect, test } from 'vitest';
import { Mailbox } from '#src/metric/mailbox.ts';

const open = () => {
  const ends: number[] = [];
  const mailbox = new Mailbox<string>(
    (item) => `gap ${item}`,
    () => ends.push(1),
  );
  return { mailbox, ends };
};

describe('a mailbox', () => {
  test('hands on in order, to readers that wait and to readers that come later', async () => {
    const { mailbox } = open();
    const waiting = mailbox.next();
    mailbox.push('a');
    mailbox.push('b');
    expect([await waiting, await mailbox.next()]).toEqual([
      { done: false, value: 'a' },
      { done: false, value: 'b' },
    ]);
  });

  test('keeps only the newest for a slow reader, and says so', async () => {
    const { mailbox } = open();
    for (const item of ['a', 'b', 'c', 'd', 'e']) mailbox.push(item);
    const read = [await mailbox.next(), await mailbox.next()].map((result) => result.value);
    expect(read).toEqual(['gap d', 'e']);
  });

  test('the past comes first and is never cut short', async () => {
    const { mailbox } = open();
    const waiting = mailbox.next();
    mailbox.startWith(['a', 'b', 'c', 'd', 'e']);
    mailbox.push('f');
    mailbox.end();
    const read = [(await waiting).value];
    for await (const item of mailbox) read.push(item);
    expect(read).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  test('return ends it at once, also while a reader waits, and only once', async () => {
    const { mailbox, ends } = open();
    const waiting = mailbox.next();
    await mailbox.return();
    await mailbox.return();
    mailbox.push('late');
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await mailbox.next()).toEqual({ done: true, value: undefined });
    expect(ends).toHaveLength(1);
  });
});
