import { supervise, type SupervisorOptions } from './supervisor.ts';

const out = (line: string): void => void process.stdout.write(`${line}\n`);

/**
 * Supervises from a terminal until Ctrl-C (or SIGTERM, or the terminal's closing) and ends this process. A second
 * Ctrl-C stops waiting for those who are slow to end; a third leaves them to the next start.
 */
export async function superviseInTerminal(
  options: Omit<SupervisorOptions, 'out' | 'stop' | 'hurry'>,
): Promise<never> {
  const [stop, hurry] = [new AbortController(), new AbortController()];
  const onSignal = (): void => {
    if (hurry.signal.aborted) process.exit(1);
    (stop.signal.aborted ? hurry : stop).abort();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  // A closed terminal or pipe: what is said from then on is lost, but the children must still be ended in order.
  process.stdout.on('error', () => {});
  const code = await supervise({ ...options, out, stop: stop.signal, hurry: hurry.signal });
  process.exit(code);
}
