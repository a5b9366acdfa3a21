import { roleIn, type Viewer } from '#src/access/access.ts';
import { listProjects, type Project } from '#src/project/project.ts';
import type { Role } from '#src/platform/errors.ts';
import { ActorKindEnum } from './actor.ts';
import { builder } from './builder.ts';
import { RoleEnum } from './errors.ts';
import { ProjectType } from './project.ts';

const Membership = builder.objectRef<{ project: Project; role: Role }>('Membership').implement({
  description: 'A project and what you may do in it.',
  fields: (t) => ({
    project: t.expose('project', { type: ProjectType, description: 'The project.' }),
    role: t.expose('role', { type: RoleEnum, description: 'Your role in it.' }),
  }),
});

const ViewerType = builder.objectRef<Viewer>('Viewer').implement({
  description: 'Whoever asks.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Name of the person or token.' }),
    kind: t.expose('kind', { type: ActorKindEnum, description: 'What kind of somebody.' }),
    memberships: t.field({
      type: [Membership],
      description: 'Every project that you can see, by name; 1,000 at most.',
      resolve: async (viewer, _args, { platform }) =>
        (await listProjects(platform, viewer)).flatMap((project) => {
          const role = roleIn(viewer, project.id);
          return role ? [{ project, role }] : [];
        }),
    }),
  }),
});

builder.queryField('viewer', (t) =>
  t.field({ type: ViewerType, description: 'Who you are.', resolve: (_root, _args, { viewer }) => viewer }),
);
