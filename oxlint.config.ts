/**
 * Lint rules, and who may import what: schema → src ← workers, and inside src: app.ts → nouns → platform.
 * A program rather than JSON, because a file's bans replace those of its folder: each is composed here from one table.
 * test/lint/ proves that every ban bites.
 */
import type { OxlintConfig, OxlintOverride } from 'oxlint';

interface Ban {
  /** Tested on what stands in the import, so `#` and relative paths both need a place in it. */
  readonly regex: string;
  readonly message: string;
}

const packages = (names: readonly string[], message: string): Ban => ({
  regex: `^(${names.join('|')})(/|$)`,
  message,
});
const folder = (name: string, message: string): Ban => ({ regex: `^(#|(\\.\\./)+)${name}/`, message });

/** Drivers and the one file of src/platform that imports each. */
const owners = {
  pg: 'database',
  'pg-copy-streams': 'database',
  ioredis: 'redis',
  bullmq: 'queue',
  'onnxruntime-node': 'onnx-runtime',
  pino: 'logger',
  '@aws-sdk': 's3',
} as const;

const drivers = Object.entries(owners).map(([driver, file]) => ({
  file: `src/platform/${file}.ts`,
  ban: packages([driver], `Only src/platform/${file}.ts imports ${driver}.`),
}));
const driverBans = drivers.map(({ ban }) => ban);

const graphql = packages(
  ['graphql', 'graphql-[^/]+', '@pothos', '@envelop', '@graphql-yoga'],
  'Only schema/ knows GraphQL.',
);
const noSchema = folder('schema', 'schema/ is an edge: src and workers do not know it.');
const noWorkers = folder('workers', 'workers/ is an edge: src and schema do not know it.');
const noTest = folder('test', 'test/ is not part of the program.');
const noApp: Ban = {
  regex: '^(#src|\\.\\.)/app\\.ts$',
  message: 'src/app.ts puts the nouns together; they do not know it.',
};
const noNoun: Ban = { regex: '^(#|\\.\\.)', message: 'src/platform knows no noun.' };
const noProject: Ban = {
  regex: '^(#|\\.)',
  message: 'A migration stands alone: what it did must not change with the code.',
};

/** `process` as a value is the global; its environment has one reader. */
const environment: Ban[] = ['node:process', 'process'].map((name) => ({
  regex: `^${name}$`,
  message: 'Use the global `process`; only src/platform/config.ts reads its environment.',
}));

const imports = (files: string[], ...bans: Ban[]): OxlintOverride => ({
  files,
  rules: { 'eslint/no-restricted-imports': ['error', { patterns: [...bans, ...environment] }] },
});

const platform = [noSchema, noWorkers, noTest, graphql, noNoun];

const config: OxlintConfig = {
  plugins: ['typescript', 'import', 'promise', 'unicorn', 'oxc', 'node'],
  categories: { correctness: 'error', suspicious: 'error' },
  ignorePatterns: ['test/lint/fixture/**', 'src/platform/database.generated.ts'],
  rules: {
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'typescript/no-explicit-any': 'error',
    'eslint/eqeqeq': 'error',
    'import/no-cycle': ['error', { ignoreTypes: false }],
    'node/no-process-env': 'error',
    // What comes from outside is checked by a schema or by hand; the type it then has must be said somehow.
    'typescript/no-unsafe-type-assertion': 'off',
    // Spreading a text counts its code points, which is what a limit on its length means.
    'typescript/no-misused-spread': ['error', { allow: ['string'] }],
    // Our records of functions close over their state, and Kysely's expression builder is made to be taken apart.
    'typescript/unbound-method': 'off',
    // A small function beside its only use reads better than one far above.
    'unicorn/consistent-function-scoping': 'off',
    // `_name` marks what is not used.
    'eslint/no-underscore-dangle': 'off',
    // pg and pino are CommonJS: their default import is the documented one.
    'import/no-named-as-default-member': 'off',
  },
  overrides: [
    imports(['src/**'], noSchema, noWorkers, noTest, graphql, ...driverBans),
    imports(['src/*/**'], noSchema, noWorkers, noTest, noApp, graphql, ...driverBans),
    imports(['src/platform/**'], ...platform, ...driverBans),
    ...drivers.map(({ file }) =>
      imports([file], ...platform, ...drivers.filter((other) => other.file !== file).map(({ ban }) => ban)),
    ),
    imports(['workers/**'], noSchema, noTest, graphql, ...driverBans),
    imports(['schema/**'], noWorkers, noTest, ...driverBans),
    imports(['migrations/**'], noProject, graphql, ...driverBans),
    {
      // The types of GraphQL refer to each other in circles, by functions that are called later.
      files: ['schema/**'],
      rules: { 'import/no-cycle': 'off' },
    },
    {
      // Importing the file of a type or of a plugin is what registers it.
      files: ['schema/schema.ts', 'schema/builder.ts'],
      rules: { 'import/no-unassigned-import': 'off' },
    },
    {
      // config.ts reads it; the entries of `npm start` and the commands beside it pass it on whole; a replica takes its token.
      files: [
        'src/platform/config.ts',
        'src/local/{start,reset,backup,restore,verify}.ts',
        'src/replica/process/launch.ts',
        'test/**',
      ],
      rules: { 'node/no-process-env': 'off' },
    },
  ],
};

export default config;
