/** A dashboard: watches a deployment's metrics, and comes back by itself whenever the connection is lost. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'graphql-ws';
import { webSocketClient } from '#test/helpers/client.ts';

interface Frame {
  readonly at: string;
  readonly arms: readonly { readonly requests: string }[];
}

const query = `subscription ($id: ID!) {
  deploymentMetrics(deployment: $id, backfillSeconds: 0) { at arms { requests } }
}`;

export class Dashboard {
  readonly #client: Client;
  readonly #frames: AsyncIterableIterator<unknown>;
  /** How often it has connected. */
  connections = 0;

  constructor(url: string, deployment: string) {
    this.#client = webSocketClient(
      url,
      {},
      {
        retryAttempts: Infinity,
        shouldRetry: () => true,
        retryWait: () => delay(50),
        on: { connected: () => void this.connections++ },
      },
    );
    this.#frames = this.#client.iterate({ query, variables: { id: deployment } });
  }

  /** The next frame that is as wanted. @throws Error when there is none any more. */
  async next(isWanted: (frame: Frame) => boolean = () => true): Promise<Frame> {
    for (;;) {
      const { done, value } = await this.#frames.next();
      if (done) throw new Error('The subscription has ended.');
      const { data, errors } = value as { data?: { deploymentMetrics: Frame }; errors?: unknown };
      if (!data) throw new Error(`The subscription answers ${JSON.stringify(errors)}.`);
      if (isWanted(data.deploymentMetrics)) return data.deploymentMetrics;
    }
  }

  async close(): Promise<void> {
    await this.#client.dispose();
  }
}

/** Whether a frame counts requests of a second after that moment. */
export const countsAfter =
  (moment: number) =>
  ({ at, arms }: Frame): boolean =>
    Date.parse(at) > moment && arms.some(({ requests }) => Number(requests) > 0);
