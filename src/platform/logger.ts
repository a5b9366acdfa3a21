/** The only importer of pino. Log lines carry ids (request, job, actor, entity), never inputs, outputs or tokens. */
import { pino, type Logger } from 'pino';

export type { Logger };

/** A logger that writes JSON lines to standard output. */
export function createLogger(role: string, level: string): Logger {
  // Written before anybody is told the id that stands in the line, and before a process that dies is gone.
  const destination = pino.destination({ fd: 1, sync: true });
  const options = {
    level,
    base: { role, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: ['*.authorization', '*.token', '*.secret', '*.password'], censor: '[redacted]' },
    serializers: { err: pino.stdSerializers.err },
  };
  return pino(options, destination);
}
