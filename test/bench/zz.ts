import { startStack } from './stack.ts';
import { compare } from './compare.ts';
import { startChild } from './child.ts';
import { postText } from './graphql.ts';
import { list } from './list.ts';
import { cpuSeconds } from './process-usage.ts';
const stack = await startStack();
try {
  await list(stack, { rounds: 1, seconds: 1, warmUpSeconds: 1 });
  const edge = `cursor node { id name description createdAt createdBy { name kind } latest { id number status message author { name kind } createdAt bytes } }`;
  const wrap = (e: string) => `query Models($project: String!) { project(name: $project) { models(first: 20) { edges { ${e} } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`;
  for (const query of ['{ __typename }', 'query P($project: String!) { project(name: $project) { name } }', wrap('cursor'), wrap('node { name }'), wrap('node { id name description createdAt }'), wrap(edge)]) {
    const body = JSON.stringify({ query, variables: query.startsWith('query') ? { project: 'bench' } : {} });
    const answer = await postText(stack.url, JSON.parse(body));
    const bare = startChild('static.process.ts', ['0', answer]); const { port } = await bare.next<any>();
    const r = await compare([
      { target: { port: Number(new URL(stack.url).port), body, mark: 'data' }, cpu: () => ({ api: cpuSeconds([stack.pid('api')]) }) },
      { target: { port, body, mark: 'data' }, cpu: () => ({ bare: cpuSeconds([bare.pid]) }) }], { rounds: 5, seconds: 1, warmUpSeconds: 1.5 });
    console.log(query.slice(0, 200).slice(-90), answer.length, r[0].rates.map(Math.round).join(' '), r[0].cpuMicros, r[1].rates.map(Math.round).join(' '), r[1].cpuMicros);
    await bare.end();
  }
} finally { await stack.stop(); }
