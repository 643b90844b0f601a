/** An error that is the answer to a request: an HTTP status and a sentence for people. */
export class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const BODY_PROBLEMS = {
  'entity.parse.failed': 'The body is not valid JSON.',
  'entity.too.large': 'The body is too large.',
};

/** The `{status, message}` to answer when a request has failed with this error. */
export function describe(error) {
  if (error instanceof HttpError) return { status: error.status, message: error.message };
  if (error.status >= 400 && error.status < 500) {
    return { status: error.status, message: BODY_PROBLEMS[error.type] ?? 'The request cannot be read.' };
  }
  if (isConnectionProblem(error)) {
    return { status: 503, message: 'The database does not answer. Please try again in a moment.' };
  }
  return { status: 500, message: 'Something went wrong in the backend; its log says more.' };
}

function isConnectionProblem({ code, fatal }) {
  return Boolean(fatal) || ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ETIMEDOUT'].includes(code);
}
