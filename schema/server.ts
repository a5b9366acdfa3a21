/** The api's process. Run as many as needed. */
import { ConfigError, loadConfig } from '#src/platform/config.ts';
import { createLogger } from '#src/platform/logger.ts';
import { migrate } from '#src/platform/migrate.ts';
import { openApi } from './api.ts';

try {
  const config = loadConfig();
  const logger = createLogger('api', config.LOG_LEVEL);
  await migrate(config.DATABASE_URL);
  const api = await openApi(config, logger);
  logger.info({ url: api.url }, 'api listens');
  process.send?.({ type: 'ready', url: api.url });
  let stopping = false;
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    logger.info('api stopping');
    await api.close();
    process.exit(0);
  };
  process.on('unhandledRejection', (error) => logger.error({ err: error }, 'unhandled rejection'));
  process.on('SIGTERM', () => void stop());
  process.on('SIGINT', () => void stop());
} catch (error) {
  process.stderr.write(`${error instanceof ConfigError ? error.message : String((error as Error).stack)}\n`);
  process.exit(1);
}
