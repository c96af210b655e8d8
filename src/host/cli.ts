export const main = async (argv: string[]) => {
  console.log(argv);
  return 0;
};
