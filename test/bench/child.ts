/** Processes of the bench itself: Node on a file beside this one, with a channel for messages. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface BenchChild {
  readonly pid: number;
  /** Sends a message and answers with the next one that comes back. */
  ask<Answer>(message: object): Promise<Answer>;
  next<Answer>(): Promise<Answer>;
  end(): Promise<void>;
}

/** @param args come to the child as its arguments. */
export function startChild(file: string, args: readonly string[] = []): BenchChild {
  const child: ChildProcess = fork(join(import.meta.dirname, file), args);
  const ended = once(child, 'exit');
  const failed = ended.then(() => {
    throw new Error(`${file} ended before its time.`);
  });
  failed.catch(() => {});
  const next = async <Answer>(): Promise<Answer> => {
    const [answer] = await Promise.race([once(child, 'message'), failed]);
    return answer as Answer;
  };
  return {
    pid: child.pid as number,
    next,
    ask: <Answer>(message: object) => {
      const answer = next<Answer>();
      child.send(message);
      return answer;
    },
    end: async () => {
      child.kill();
      await ended;
    },
  };
}
