export const greeting = 'Welcome back! What shall we get done today?';
