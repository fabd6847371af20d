// A device in 40 lines: takes part in one round. Here it "learns" that every weight should shrink;
// put your own training in its place.
#include <cstdio>

#include "client/client.h"

using namespace muster;

int fail(const Status& status) {
  std::fprintf(stderr, "device: %s\n", status.to_string().c_str());
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: %s ENDPOINT SERVER_KEY PUBLIC_KEY SECRET_KEY TASK\n", argv[0]);
    return 2;
  }
  client::ClientOptions options;
  options.endpoint = argv[1];
  options.server_key = argv[2];
  options.identity = {argv[3], argv[4]};
  const auto device = client::Client::connect(options);
  if (!device.ok()) return fail(device.status());

  const auto assignment = (*device)->join(argv[5], 60 * kSecond);
  if (!assignment.ok()) return fail(assignment.status());
  const auto model = (*device)->fetch(*assignment);
  if (!model.ok()) return fail(model.status());

  std::vector<float> delta = *model;  // what training changed, not the trained weights
  for (float& value : delta) value *= -0.01F;

  const auto update = client::encode(*assignment, delta, /*seed=*/1);
  if (!update.ok()) return fail(update.status());
  const auto receipt = (*device)->submit(*assignment, *update, /*weight=*/1);
  if (!receipt.ok()) return fail(receipt.status());
  std::printf("round %llu has it: the update is durable and counted\n",
              static_cast<unsigned long long>(receipt->round));
}
