export default function Problem({ text, onRetry, onDismiss }) {
  return (
    <div role="alert">
      {text && (
        <div className="problem">
          <p>{text}</p>
          {onRetry ? (
            <button type="button" onClick={onRetry}>
              Try again
            </button>
          ) : (
            <button type="button" onClick={onDismiss}>
              Dismiss
            </button>
          )}
        </div>
      )}
    </div>
  );
}
