/** What several gates say together. Pure. */
import type { Gate, GateStatus } from './gate.ts';
import type { Verdict } from './rollout.state.ts';

/** @param baked whether the step's time is over: before, only what is against the candidate counts. */
export function verdictOf(gates: readonly Gate[], statuses: readonly GateStatus[], baked: boolean): Verdict {
  const failing = statuses.find(({ state }) => state === 'FAILING');
  if (failing) return { says: 'FAILING', reason: failing.explanation };
  if (!baked) return { says: 'WAITING', reason: null };
  let waits: string | null = null;
  for (const [index, gate] of gates.entries()) {
    const status = statuses[index];
    if (status?.state === 'PASSING') continue;
    const isSilent = status === undefined || status.state === 'NO_DATA';
    const explanation = status?.explanation ?? 'Nothing has been measured yet.';
    if (isSilent && gate.noData === 'PASS') continue;
    if (isSilent && gate.noData === 'FAIL') return { says: 'FAILING', reason: explanation };
    waits ??= explanation;
  }
  return waits === null ? { says: 'PASSING', reason: null } : { says: 'WAITING', reason: waits };
}
