/** Writers without a pause: each makes versions of bytes that the project holds, and moves an alias to them. */
import type { Program } from '#test/helpers/program.ts';
import { attempt, type Attempt, type HeldFile } from '#test/helpers/registry.ts';
import type { Stack } from '#test/helpers/stack.ts';

/** A version or a move that was answered with success. */
export interface Answered {
  readonly kind: 'version' | 'move';
  /** The tag of a version that was asked for, or the alias that was moved. */
  readonly key: string;
  readonly versionId: string;
  readonly number: number;
}

interface Made {
  readonly id: string;
  readonly number: number;
}

export class Writers {
  readonly answered: Answered[] = [];
  /** The tag of every version that was asked for, answered or not. */
  readonly asked = new Set<string>();
  /** How often nothing, or an error that is not the caller's, came back. */
  failures = 0;
  readonly #stack: Stack;
  readonly #file: HeldFile;
  readonly #loops: Promise<void>[];
  readonly #waiting = new Set<() => void>();
  #stopped = false;

  /** @param models ids; the writers share them. */
  constructor(stack: Stack, file: HeldFile, models: readonly string[], count: number) {
    this.#stack = stack;
    this.#file = file;
    this.#loops = Array.from({ length: count }, (_, index) =>
      this.#loop(index, models[index % models.length] as string),
    );
  }

  async #loop(writer: number, model: string): Promise<void> {
    const { apis } = this.#stack;
    let alias: string | undefined;
    for (let round = 0; !this.#stopped; round++) {
      const api = apis[(writer + round) % apis.length] as Program;
      const key = `${writer}.${round}`;
      this.asked.add(key);
      const made = await this.#create(model, key, api);
      if (made && (await this.#move(model, `of${writer}`, made, alias, api))) alias = made.id;
      // After a failure nobody knows where it stands.
      else alias = await this.#standing(model, `of${writer}`);
      this.#tell();
    }
  }

  async #create(model: string, key: string, api: Program): Promise<Made | undefined> {
    const input = { model, artifacts: [this.#file], tags: [{ key, value: '' }] };
    const made = await this.#try(() =>
      attempt<Made>(this.#stack, 'createVersion', input, 'id number', { api }),
    );
    if (made) this.answered.push({ kind: 'version', key, versionId: made.id, number: made.number });
    return made;
  }

  async #move(
    model: string,
    name: string,
    to: Made,
    expected: string | undefined,
    api: Program,
  ): Promise<boolean> {
    const input = { model, name, version: to.id, expected };
    const moved = await this.#try(() =>
      attempt<{ name: string }>(this.#stack, 'setAlias', input, 'name', { api }),
    );
    if (moved) this.answered.push({ kind: 'move', key: name, versionId: to.id, number: to.number });
    return moved !== undefined;
  }

  async #standing(model: string, name: string): Promise<string | undefined> {
    const query =
      'query ($id: ID!, $name: String!) { node(id: $id) { ... on Model { alias(name: $name) { version { id } } } } }';
    for (let round = 0; !this.#stopped; round++) {
      const api = this.#stack.apis[round % this.#stack.apis.length] as Program;
      try {
        const { node } = await this.#stack.data<{ node: { alias: { version: { id: string } } | null } }>(
          query,
          { id: model, name },
          { api },
        );
        return node.alias?.version.id;
      } catch {
        this.failures++;
        this.#tell();
      }
    }
    return undefined;
  }

  /** What was made, or undefined. A refusal by the rules is no failure. */
  async #try<T>(work: () => Promise<Attempt<T>>): Promise<T | undefined> {
    try {
      const result = await work();
      return 'made' in result ? result.made : undefined;
    } catch {
      this.failures++;
      return undefined;
    }
  }

  #tell(): void {
    for (const look of this.#waiting) look();
  }

  /** Resolves once `count` more were answered with success, from now on. */
  more(count: number): Promise<void> {
    const goal = this.answered.length + count;
    return this.until(() => this.answered.length >= goal);
  }

  /** Looks whenever a writer has come round, or failed. */
  until(isReached: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isReached()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  /** Lets what is under way end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }
}
