import { searchVersionIds } from '#src/search/search.ts';
import { findPaged } from '#src/version/version.queries.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import { ProjectType } from './project.ts';
import { VersionConnection } from './version.ts';

builder.objectField(ProjectType, 'search', (t) =>
  t.field({
    type: VersionConnection,
    description:
      'Versions that match, newest first. Terms are joined by AND (also by standing side by side), OR, NOT and ' +
      'parentheses. A term is `field:value`, `field:low..high`, a comparison such as `metric.accuracy > 0.93`, or a word ' +
      'that stands in the name of the model or the message; `*` stands for anything, and quotes keep a value as it is. ' +
      'Fields: name, tag (`tag:stage=dev`), alias, status, author, created (a time, a day, or an age such as `7d`), ' +
      'format, bytes (`10MB`), metric.<name>, number, digest, archived, deployed, deployment, message.',
    args: {
      query: t.arg.string({
        required: true,
        description:
          'Such as `name:fraud* AND (metric.accuracy > 0.93 OR alias:champion) AND NOT tag:stage=dev`.',
      }),
      first: t.arg.int({ defaultValue: 20, description: pageArgs.first }),
      after: t.arg.string({ description: pageArgs.after }),
    },
    complexity: pageCost,
    resolve: async (project, args, { platform }) => {
      const page = await searchVersionIds(platform, project.id, args);
      const versions = new Map(
        (await findPaged(platform.database, page.items)).map((found) => [found.id, found]),
      );
      // One that was deleted in between is still there, marked as deleted.
      const items = page.items.flatMap((id) => versions.get(id) ?? []);
      return connectionOf({ ...page, items }, ({ id }) => [id]);
    },
  }),
);
