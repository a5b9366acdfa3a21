import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** `npm run test:faults`: minutes instead of seconds, and nothing beside it. */
export default defineConfig({
  ...base,
  test: { ...base.test, include: ['test/fault/full/*.faults.ts'], maxWorkers: 1 },
});
