/** The loop that moves rollouts on; every worker runs one, whoever comes first does the work. */
import type { Platform } from '../platform/platform.ts';
import { drive } from './drive.ts';
import { follow } from './follow.ts';

const ROUND_MS = 500;

export interface Driver {
  /** Resolves when its last round is over. */
  close(): Promise<void>;
}

/** @param onChange called when replicas are wanted otherwise. */
export function openDriver(platform: Platform, onChange: () => void): Driver {
  let round: Promise<void> | undefined;

  async function turn(): Promise<void> {
    for (const look of [drive, follow]) {
      try {
        if (await look(platform)) onChange();
      } catch (error) {
        platform.logger.warn({ err: error }, 'rollouts could not be looked at; trying again');
      }
    }
  }
  const timer = setInterval(() => {
    round ??= turn().finally(() => (round = undefined));
  }, ROUND_MS);
  return {
    close: async () => {
      clearInterval(timer);
      await round;
    },
  };
}
