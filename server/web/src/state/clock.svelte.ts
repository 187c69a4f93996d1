// The current time for "3 min ago", updated twice a minute.

let now = $state(Date.now() / 1000);

setInterval(() => {
  now = Date.now() / 1000;
}, 30_000);

export const clock = {
  get now(): number {
    return now;
  },
};
