import { actorKinds } from '#src/platform/database.types.ts';
import type { Actor } from '#src/access/access.ts';
import { builder } from './builder.ts';

export const ActorKindEnum = builder.enumType('ActorKind', {
  description: 'What kind of somebody.',
  values: Object.fromEntries(
    actorKinds.map((kind) => [
      kind,
      {
        description: {
          USER: 'A person.',
          TOKEN: 'Whoever holds an API token.',
          SYSTEM: 'Modelarium itself.',
        }[kind],
      },
    ]),
  ) as Record<(typeof actorKinds)[number], { description: string }>,
});

export const ActorType = builder.objectRef<Actor>('Actor').implement({
  description: 'Who did something.',
  fields: (t) => ({
    name: t.exposeString('name', { description: "The person's or token's name." }),
    kind: t.expose('kind', { type: ActorKindEnum, description: 'What kind of somebody.' }),
  }),
});
