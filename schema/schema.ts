/** Imports every type once, so that all of them are registered, and builds the schema. */
import './scalars.ts';
import './errors.ts';
import './actor.ts';
import './project.ts';
import './token.ts';
import './viewer.ts';
import './model.ts';
import './signature.ts';
import './tag.ts';
import './alias.ts';
import './version.ts';
import './resumable-upload.ts';
import './version-mutations.ts';
import './lineage.ts';
import './diff.ts';
import './search.ts';
import './operation.ts';
import './arm.ts';
import './deployment.ts';
import './deployment-mutations.ts';
import './deployment-logging.ts';
import './prediction.ts';
import './logged-prediction.ts';
import './metric.ts';
import './ledger.ts';
import { builder } from './builder.ts';

export const schema = builder.toSchema();
