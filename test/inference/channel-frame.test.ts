/** What travels on a channel, as bytes. */
import { expect, test } from 'vitest';
import {
  answerHead,
  cancelFrame,
  readAnswerFrame,
  readRequestFrame,
  requestFrame,
} from '#src/inference/channel-frame.ts';

const body = Buffer.from('{"outputs":[]}  binary');
const timing = { queueMs: 0.125, computeMs: 1e9, batchSize: 7, sharedRows: 4_294_967_295 };

test('requests and answers are read as they were written', () => {
  for (const id of [0, 1, 2 ** 32 - 1]) {
    expect(readRequestFrame(requestFrame(id, 16, body))).toEqual({ id, asked: { headerLength: 16, body } });
    expect(readRequestFrame(cancelFrame(id))).toEqual({ id, asked: null });
    for (const headerLength of [null, 0, 16]) {
      const frame = Buffer.concat([answerHead(id, { status: 503, headerLength, timing }), body]);
      const answer = { status: 503, headerLength: headerLength ?? undefined, timing, body };
      expect(readAnswerFrame(frame)).toEqual({ id, answer });
    }
  }
});

test('what is too short for either is neither', () => {
  for (const length of [0, 3, 5, 7]) expect(readRequestFrame(Buffer.alloc(length))).toBeUndefined();
  for (const length of [0, 4, 39]) expect(readAnswerFrame(Buffer.alloc(length))).toBeUndefined();
});
