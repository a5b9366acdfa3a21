import fc from 'fast-check';
import { expect, test } from 'vitest';
import { summaryOf } from '#src/ledger/summary.ts';
import { ledgerEventTypes, type LedgerEventType } from '#src/platform/database.types.ts';

const alice = { name: 'alice', kind: 'USER' } as const;
const itself = { name: 'modelarium', kind: 'SYSTEM' } as const;
const version = { model: 'fraud', number: 12 };
const champion = { model: 'fraud', name: 'champion' };
const served = {
  name: 'scoring',
  arms: [
    { ...version, role: 'STABLE' },
    { model: 'fraud', number: 13 },
  ],
};

const moving = {
  ...served,
  rollout: { state: 'SHIFTING', weight: 0.125, number: 13, reason: null },
};
const told: [LedgerEventType, Record<string, unknown>, string][] = [
  ['PROJECT_CREATED', { name: 'demo', description: null }, 'alice created project demo.'],
  [
    'TOKEN_CREATED',
    { name: 'ci', role: 'AUTHOR', expiresAt: null },
    'alice created token ci of role AUTHOR.',
  ],
  ['TOKEN_REVOKED', { name: 'ci' }, 'alice revoked token ci.'],
  ['MODEL_CREATED', { name: 'fraud' }, 'alice created model fraud.'],
  ['MODEL_UPDATED', { name: 'fraud' }, 'alice changed model fraud.'],
  ['MODEL_DELETED', { name: 'fraud', versions: 3 }, 'alice deleted model fraud.'],
  ['VERSION_CREATED', { ...version, origin: 'UPLOADED' }, 'alice created fraud:12.'],
  ['VERSION_CREATED', { ...version, origin: 'RESTORED' }, 'alice created fraud:12 from an earlier version.'],
  ['VERSION_INGESTING', version, 'Version fraud:12 is being inspected.'],
  ['VERSION_READY', version, 'Version fraud:12 is ready.'],
  [
    'VERSION_REJECTED',
    { ...version, reason: 'It is\n no  model.' },
    'Version fraud:12 was rejected: It is no model.',
  ],
  [
    'VERSION_QUARANTINED',
    { ...version, reason: 'a.pkl: odd.' },
    'Version fraud:12 was quarantined: a.pkl: odd.',
  ],
  ['VERSION_RELEASED', { ...version, reason: 'Ours.' }, 'alice released fraud:12 from quarantine: Ours.'],
  [
    'VERSION_UPDATED',
    { ...version, tags: [], metrics: {} },
    'alice changed the tags and metrics of fraud:12.',
  ],
  ['VERSION_UPDATED', { ...version, metadata: null }, 'alice changed the metadata of fraud:12.'],
  ['VERSION_ARCHIVED', version, 'alice archived fraud:12.'],
  ['VERSION_UNARCHIVED', version, 'alice unarchived fraud:12.'],
  ['VERSION_DELETED', version, 'alice deleted fraud:12.'],
  ['ALIAS_MOVED', { ...champion, from: 11, to: 12 }, 'alice moved fraud@champion from 11 to 12.'],
  ['ALIAS_MOVED', { ...champion, from: null, to: 12 }, 'alice set fraud@champion to 12.'],
  ['ALIAS_PROTECTED', { ...champion, to: 12 }, 'alice protected fraud@champion.'],
  ['ALIAS_UNPROTECTED', { ...champion, to: 12 }, 'alice unprotected fraud@champion.'],
  ['ALIAS_DELETED', { ...champion, from: 12, to: null }, 'alice deleted fraud@champion.'],
  ['DEPLOYMENT_CREATED', served, 'alice created deployment scoring with fraud:12 and fraud:13.'],
  ['DEPLOYMENT_UPDATED', served, 'alice changed deployment scoring.'],
  [
    'DEPLOYMENT_SCALED',
    { ...served, replicas: 3 },
    'alice scaled deployment scoring to 3 replicas of fraud:12 and fraud:13.',
  ],
  ['DEPLOYMENT_SCALED', { name: 'scoring', replicas: 1 }, 'alice scaled deployment scoring to 1 replica.'],
  ['DEPLOYMENT_PROVISIONING', served, 'Deployment scoring is starting.'],
  ['DEPLOYMENT_LIVE', served, 'Deployment scoring is live.'],
  ['DEPLOYMENT_DEGRADED', { ...served, reason: null }, 'Deployment scoring is degraded.'],
  ['DEPLOYMENT_FAILED', { ...served, reason: 'No memory' }, 'Deployment scoring failed: No memory.'],
  ['DEPLOYMENT_STOPPING', served, 'alice stopped deployment scoring.'],
  ['DEPLOYMENT_STOPPED', served, 'Deployment scoring has stopped.'],
  ['ROLLOUT_STARTED', moving, 'alice began the rollout of scoring to version 13.'],
  [
    'ROLLOUT_STARTED',
    { ...moving, rollout: { ...moving.rollout, reason: 'fraud@champion moved to version 13.' } },
    'alice began the rollout of scoring to version 13: fraud@champion moved to version 13.',
  ],
  ['ROLLOUT_SHIFTED', moving, 'The rollout of scoring to version 13 has 12.5 % of the traffic.'],
  [
    'ROLLOUT_SHIFTED',
    { ...moving, rollout: { ...moving.rollout, weight: 1 } },
    'The rollout of scoring to version 13 has 100 % of the traffic.',
  ],
  ['ROLLOUT_PAUSED', moving, 'alice paused the rollout of scoring to version 13.'],
  ['ROLLOUT_RESUMED', moving, 'alice resumed the rollout of scoring to version 13.'],
  ['ROLLOUT_PROMOTED', moving, 'alice promoted the rollout of scoring to version 13.'],
  [
    'ROLLOUT_ROLLING_BACK',
    { ...moving, reason: 'The deployment’s own', rollout: { ...moving.rollout, reason: 'It is slow.' } },
    'The rollout of scoring to version 13 is taken back: It is slow.',
  ],
  ['ROLLOUT_ROLLED_BACK', moving, 'The rollout of scoring to version 13 was taken back.'],
  ['ROLLOUT_ABORTED', moving, 'The rollout of scoring to version 13 was aborted.'],
  ['ROLLOUT_FAILED', moving, 'The rollout of scoring to version 13 failed.'],
  ['ROLLOUT_SUCCEEDED', moving, 'The rollout of scoring to version 13 succeeded.'],
  ['OPERATION_CANCEL_REQUESTED', { kind: 'version.ingest' }, 'alice asked operation version.ingest to stop.'],
];

test.for(told)('%s with %j', ([type, data, sentence]) => {
  expect(summaryOf(type, alice, data)).toBe(sentence);
});

test('each type has a sentence', () => {
  expect(new Set(told.map(([type]) => type))).toEqual(new Set(ledgerEventTypes));
});

test('what nobody asked for', () => {
  expect(summaryOf('DEPLOYMENT_STOPPING', itself, served)).toBe('Deployment scoring is stopping.');
});

test.for([
  ['MODEL_CREATED', 'alice created a model.'],
  ['VERSION_READY', 'A version is ready.'],
  ['ALIAS_MOVED', 'alice set an alias.'],
  ['DEPLOYMENT_CREATED', 'alice created a deployment.'],
  ['ROLLOUT_SHIFTED', 'The rollout moves on.'],
  ['ROLLOUT_STARTED', 'alice began the rollout.'],
  ['OPERATION_CANCEL_REQUESTED', 'alice asked an operation to stop.'],
] as const)('%s of which nothing is known', ([type, sentence]) => {
  expect(summaryOf(type, alice, {})).toBe(sentence);
});

const value = fc.oneof(fc.jsonValue(), fc.constantFrom(null, '', 0, -1, [null], [[]], [{}], {}));
const keys = [
  'model',
  'name',
  'number',
  'from',
  'to',
  'reason',
  'arms',
  'role',
  'kind',
  'origin',
  'tags',
  'metrics',
];
const anyData = fc.dictionary(fc.oneof(fc.constantFrom(...keys), fc.string()), value);
const anyType = fc.oneof(fc.constantFrom(...ledgerEventTypes), fc.string() as fc.Arbitrary<LedgerEventType>);

test('whatever the data are, it is a sentence', () => {
  fc.assert(
    fc.property(anyType, anyData, (type, data) => {
      expect(summaryOf(type, alice, data)).toMatch(/^\S[^]*\.$/);
    }),
  );
});
