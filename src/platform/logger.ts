/** The only importer of pino. Log lines carry ids (request, job, actor, entity), never inputs, outputs or tokens. */
import { pino, type Logger } from 'pino';

export type { Logger };

/** A logger that writes JSON lines to standard output. */
export function createLogger(role: string, level: string): Logger {
  return pino({
    level,
    base: { role, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: ['*.authorization', '*.token', '*.secret', '*.password'], censor: '[redacted]' },
    serializers: { err: pino.stdSerializers.err },
  });
}
