/** Every job there is. A payload carries an operation's id; its row carries the rest and decides whether it runs. */
import { z } from 'zod';
import { provisionJob, stopJob } from './deployment/deployment.jobs.ts';
import { ingestJob } from './version/version.jobs.ts';

/** Checked when a job is taken, so that a foreign or older payload is refused instead of half understood. */
export const operationPayload = z.object({ operationId: z.uuid() });

export const operationJobs = [ingestJob, provisionJob, stopJob] as const;
export type OperationJobName = (typeof operationJobs)[number]['name'];

/** Recurring: re-enqueues what was committed but never queued, frees bytes, looks after replicas of lost hosts. */
export const sweepJob = { queue: 'maintenance', name: 'maintenance.sweep', everyMs: 2_000 } as const;

/** The job that does an operation of this kind. */
export function jobOf(kind: string): (typeof operationJobs)[number] | undefined {
  return operationJobs.find((job) => job.name === kind);
}
