/** Why a pickle could not be read to its end. Both messages are sentences for people. */

/** No unpickler goes on from here. */
export class BrokenPickle extends Error {
  override readonly name = 'BrokenPickle';
}

/** An unpickler might go on; this reader does not. */
export class PickleLimit extends Error {
  override readonly name = 'PickleLimit';
  readonly rule: 'pickle.limit' | 'joblib.unclear-array';

  constructor(message: string, rule: PickleLimit['rule'] = 'pickle.limit') {
    super(message);
    this.rule = rule;
  }
}
