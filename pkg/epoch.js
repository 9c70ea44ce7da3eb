// Assignments of one epoch belong to one turn in which nobody looked: what lets somebody look begins a new one.

export let epoch = 0;

export const nextEpoch = () => {
  epoch++;
};
