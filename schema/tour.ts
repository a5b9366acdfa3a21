/** The tour: tabs of GraphiQL that run unchanged on the demo. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Tab {
  readonly query: string;
  readonly variables?: string;
}

const demoRows = join(import.meta.dirname, '../src/local/demo/breast-cancer-rows.json');

function firstRows(): unknown[] {
  return (JSON.parse(readFileSync(demoRows, 'utf8')) as unknown[]).slice(0, 3);
}

/** Tabs in the order of the tour. */
export function tour(): Tab[] {
  return [
    {
      query: `# 1 of 12 · What is there. Run it with Ctrl-Enter.
# Every field is described: hover over one, or open the docs on the left.
query Models {
  project(name: "demo") {
    name
    models(first: 10) {
      edges {
        node {
          name
          description
          latest { number status message author { name } createdAt }
        }
      }
    }
    deployments(first: 10) {
      edges {
        node {
          name
          state
          arms { name weight version { number } replicas { state memoryBytes restarts } }
        }
      }
    }
  }
}
`,
    },
    {
      query: `# 2 of 12 · What a version takes and answers.
query Signature {
  version(ref: "demo/breast-cancer:2") {
    number
    status
    digest
    bytes
    signature {
      task
      classes
      positiveClass
      inputs { name datatype shape }
      outputs { name datatype shape }
      columns { name input index }
    }
    operation { status attempts log }
  }
}
`,
    },
    {
      query: `# 3 of 12 · Ask it. Run it a few times, then look at the next tab.
mutation Predict($rows: [Row!]) {
  predict(input: { deployment: "demo/breast-cancer", rows: $rows }) {
    ... on PredictPayload {
      rows { predictionId label probability probabilities { class probability } }
      version { number }
      latency { totalMs computeMs batchSize }
    }
    ... on Error { code message hint }
    ... on ValidationError { issues { path expected found } }
  }
}
`,
      variables: JSON.stringify({ rows: firstRows() }, null, 2),
    },
    {
      query: `# 4 of 12 · Watch it live: the last ten seconds, then a frame a second. Predict meanwhile, in another window or terminal.
subscription Metrics {
  deploymentMetrics(deployment: "demo/breast-cancer", backfillSeconds: 10) {
    at
    arms {
      arm
      requests
      requestsPerSecond
      rowsPerSecond
      latencyMs { p50 p95 p99 max }
      errors { client model server shed }
      inFlight
    }
  }
}
`,
    },
    {
      query: `# 5 of 12 · Versions as in Git: where they come from, what stands for them, what differs, and how to find them.
query Registry {
  version(ref: "demo/breast-cancer@champion") { number message parents { number } metrics { name value } }
  project(name: "demo") {
    diff(from: "breast-cancer:1", to: "breast-cancer@latest") {
      signature { compatible reasons }
      metrics { name before after difference }
      artifacts { path change }
    }
    search(query: "name:breast* AND (metric.accuracy > 0.9 OR alias:champion)") {
      edges { node { number author { name } aliases { name movedAt movedBy { name } } } }
    }
    model(name: "breast-cancer") {
      graph(first: 10) {
        edges { lane lines { from to } node { number createdAt origin { __typename } parents { number } } }
      }
    }
    ledger(first: 10) { edges { node { sequence at summary } } }
  }
}
`,
    },
    {
      query: `# 6 of 12 · Follow everything that changes, from the beginning (0) or behind the last sequence that you have seen.
# Change something meanwhile, in another window or terminal: the next tab, for instance.
subscription Ledger {
  ledger(project: "demo", after: 0) {
    sequence
    at
    type
    actor { name }
    summary
  }
}
`,
    },
    {
      query: `# 7 of 12 · Go back: version 1 becomes the newest one again, as a new version. The ledger keeps who did it and when.
mutation Restore {
  restoreVersion(input: { version: "demo/breast-cancer:1", message: "Back to the first one." }) {
    ... on Version { number status parents { number } origin { ... on RestoreOrigin { from { number } } } }
    ... on Error { code message hint }
  }
}
`,
    },
    {
      query: `# 8 of 12 · The files of a version: what the safety inspection saw in them, and a link to have them.
query Files {
  version(ref: "demo/breast-cancer@champion") {
    number
    format
    artifacts { path bytes digest mediaType }
    inspection {
      verdict
      findings { path offset rule message }
      inspectedAt
      release { by { name } at reason }
    }
    archive: downloadUrl
  }
}
`,
    },
    {
      query: `# 9 of 12 · What answered, with what, and why: of the last predictions (predict first, in tab 3).
query Why {
  project(name: "demo") {
    deployment(name: "breast-cancer") {
      endpoint
      logging { sampleRate redact retentionDays dropped }
      predictions(first: 3) {
        edges {
          node {
            id
            at
            label
            probability
            latencyMs
            inputs
            outputs
            why { weightAtTheTime deployedAt actorWhoDeployed { name } versionAuthor { name } origin { __typename } }
          }
        }
      }
    }
  }
}
`,
    },
    {
      query: `# 10 of 12 · Watch a deployment: its state and replicas, at every change.
# Meanwhile, in another window: mutation { scale(input: { deployment: "demo/breast-cancer", replicas: 2 }) { __typename } }
# Then kill one of the two processes (kill -9; the README tells how), and watch it heal.
subscription Watch {
  deployment(id: "demo/breast-cancer") {
    state
    stateReason
    desiredReplicas
    arms { name weight ready replicas { state host startedAt memoryBytes restarts exitReason } }
  }
}
`,
    },
    {
      query: `# 11 of 12 · Move the demo to version 1, of which a tenth of the traffic goes to it first. It needs traffic, in a terminal:
# npm run demo:traffic -- --rate 50
# Version 1 is the weaker model: it disagrees with the present one, and the rollout takes itself back. Watch it in the next tab.
mutation Canary {
  startRollout(
    input: {
      deployment: "demo/breast-cancer"
      version: "breast-cancer:1"
      strategy: CANARY
      steps: [{ weight: 0.1, bakeSeconds: 60 }]
    }
  ) {
    ... on Rollout { state from { number } to { number } gates { gate { metric threshold against } } }
    ... on Error { code message hint }
  }
}
# Its other verbs, each with "demo/breast-cancer" or the rollout's id:
# mutation { pauseRollout(input: { rollout: "demo/breast-cancer" }) { __typename } }
# mutation { promoteRollout(input: { rollout: "demo/breast-cancer" }) { __typename } }
# mutation { rollBack(input: { deployment: "demo/breast-cancer" }) { __typename } }
`,
    },
    {
      query: `# 12 of 12 · Watch the rollout: its share of the traffic, and what each gate says, in plain words.
subscription Rollout {
  rollout(id: "demo/breast-cancer") {
    state
    reason
    weight
    allowed
    steps { weight bakeSeconds state samples }
    gates {
      gate { metric }
      state
      observed
      baseline
      threshold
      samples
      alwaysValidP
      explanation
    }
  }
}
`,
    },
  ];
}
