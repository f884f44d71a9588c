package example.clients;

import example.erx.prescriptions.v1.PrescriptionCommandServiceGrpc;
import example.erx.prescriptions.v1.PrescriptionCommandServiceGrpc.PrescriptionCommandServiceBlockingStub;
import example.erx.prescriptions.v1.PrescriptionQueryServiceGrpc;
import example.erx.prescriptions.v1.PrescriptionQueryServiceGrpc.PrescriptionQueryServiceBlockingStub;
import example.erx.prescriptions.v1.PrescriptionWatchServiceGrpc;
import example.erx.prescriptions.v1.PrescriptionWatchServiceGrpc.PrescriptionWatchServiceBlockingStub;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Channels to both servers, and stubs on them for whoever acts. */
final class Connection implements AutoCloseable {
    static final long CALL_SECONDS = 30;

    // Only UNAVAILABLE is tried again, with the same request and so the same request_id: that is why it is safe.
    private static final Map<String, ?> SERVICE_CONFIG = Map.of("methodConfig", List.of(Map.of(
            "name", List.of(Map.of()),
            "waitForReady", true,
            "retryPolicy", Map.of(
                    "maxAttempts", 4.0,
                    "initialBackoff", "0.05s",
                    "maxBackoff", "1s",
                    "backoffMultiplier", 2.0,
                    "retryableStatusCodes", List.of("UNAVAILABLE")))));

    private final ManagedChannel commands;
    private final ManagedChannel queries;
    private final String tenant;

    private Connection(ManagedChannel commands, ManagedChannel queries, String tenant) {
        this.commands = commands;
        this.queries = queries;
        this.tenant = tenant;
    }

    static Connection to(Options options) {
        return new Connection(channel(options.command()), channel(options.query()), options.tenant());
    }

    private static ManagedChannel channel(String address) {
        return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
                .defaultServiceConfig(SERVICE_CONFIG)
                .enableRetry()
                .build();
    }

    PrescriptionCommandServiceBlockingStub commands(Actor actor) {
        return PrescriptionCommandServiceGrpc.newBlockingStub(commands)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(actor.metadata(tenant)))
                .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
    }

    PrescriptionQueryServiceBlockingStub queries() {
        return PrescriptionQueryServiceGrpc.newBlockingStub(queries)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(Actor.NOBODY.metadata(tenant)))
                .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
    }

    PrescriptionWatchServiceBlockingStub watches() {
        return PrescriptionWatchServiceGrpc.newBlockingStub(queries)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(Actor.NOBODY.metadata(tenant)))
                .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public void close() throws InterruptedException {
        for (var channel : List.of(commands, queries)) {
            channel.shutdownNow().awaitTermination(CALL_SECONDS, TimeUnit.SECONDS);
        }
    }
}
